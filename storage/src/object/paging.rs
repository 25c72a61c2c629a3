//! The pages that listings of a bucket's rows share: rows sort by object key first, so a page is one scan, and what lies below a common
//! prefix is stepped over in one seek, however much it is.

use std::ops::ControlFlow;

use kovcheg_format::codec::Decode;
use kovcheg_format::id::BucketId;
use kovcheg_format::key;

use crate::index::{Column, IndexError, IndexRead, rows};
use crate::object::list::common_prefix;

/// What is listed.
pub(super) struct Span<'q> {
    /// Where.
    pub(super) column: Column,
    /// Of this bucket.
    pub(super) bucket: BucketId,
    /// Only keys that start with this.
    pub(super) prefix: &'q str,
    /// Keys are rolled up at its first occurrence after the prefix; empty for none.
    pub(super) delimiter: &'q str,
    /// Most rows and common prefixes together.
    pub(super) max: usize,
}

/// One page.
pub(super) struct Page<T> {
    /// Rows, in order.
    pub(super) rows: Vec<T>,
    /// Rolled-up prefixes, in order.
    pub(super) common_prefixes: Vec<String>,
    /// What the page ends with, when there is more.
    pub(super) end: Option<End>,
}

/// What a page ends with.
pub(super) enum End {
    /// Its last row.
    Row,
    /// Its last common prefix.
    Prefix,
}

impl Span<'_> {
    fn rolled_up<'k>(&self, name: &'k str) -> Option<&'k str> {
        common_prefix(name, self.prefix, self.delimiter)
    }

    /// The row key behind everything that is shown as `name`, or, if that is shown row by row, behind its row `row`, if one is named;
    /// `None` when nothing can follow.
    pub(super) fn behind(&self, name: &str, row: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let follows = match (self.rolled_up(name), row) {
            (Some(prefix), _) => key::after_prefix(&key::current(self.bucket, prefix))?,
            (None, None) => key::after_prefix(&key::versions_of(self.bucket, name))?,
            (None, Some(mut row)) => {
                row.push(0);
                row
            }
        };
        Some(follows.max(self.first()))
    }

    /// The least row key that may be listed.
    pub(super) fn first(&self) -> Vec<u8> {
        key::current(self.bucket, self.prefix)
    }

    /// The page that begins at row key `from`; `None` for an empty one. Nothing is listed for a `max` of 0.
    pub(super) fn page<T: Decode>(
        &self,
        view: &dyn IndexRead,
        mut from: Option<Vec<u8>>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Page<T>, IndexError> {
        let mut page = Page { rows: Vec::new(), common_prefixes: Vec::new(), end: None };
        let to = key::after_prefix(&self.first());
        let mut end = None;
        while let Some(start) = from.filter(|_| self.max > 0) {
            from = None;
            let shown = page.common_prefixes.len();
            rows::scan(view, self.column, &start, to.as_deref(), &mut |_, row: T| {
                if page.rows.len() + shown == self.max {
                    page.end = end.take();
                    return ControlFlow::Break(());
                }
                if let Some(prefix) = self.rolled_up(name(&row)) {
                    from = key::after_prefix(&key::current(self.bucket, prefix));
                    page.common_prefixes.push(prefix.to_owned());
                    end = Some(End::Prefix);
                    return ControlFlow::Break(());
                }
                page.rows.push(row);
                end = Some(End::Row);
                ControlFlow::Continue(())
            })?;
        }
        Ok(page)
    }
}
