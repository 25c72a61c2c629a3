//! Rows of an index, as they are.

use std::ops::ControlFlow;

use crate::index::{Column, IndexRead};

/// Keys and values of a column, in order.
#[must_use]
pub fn rows_of(view: &dyn IndexRead, column: Column) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    view.scan(column, &[], None, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    rows
}
