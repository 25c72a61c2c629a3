//! Acts of the model about lives and clocks: ends, cuts, time off, steps of the wall clock, people who accept it, and others who edit the index
//! meanwhile.

use std::sync::Arc;

use super::super::fresh;
use super::{DAY, History, Played, START};
use crate::index::{Batch, Change, Column, Index as _};
use crate::testing::rows::rows_of;

impl History {
    /// A clean end or a power cut; a time off; perhaps another index and other disks.
    pub fn restart(&mut self) -> Played<()> {
        let vault = self.vault.take().ok_or("no vault")?;
        let clean = self.rng.chance(1, 2);
        if clean {
            vault.close().map_err(|error| format!("closing: {error}"))?;
        } else {
            drop(vault);
            self.pool = self.pool.freeze().thaw(self.rng.bits());
            self.index = Arc::new(self.index.crash());
        }
        if self.rng.chance(1, 3) {
            self.index = fresh();
        } else if self.rng.chance(1, 3) {
            self.edit_index();
        }
        let off = self.a_while();
        self.pass(off, false);
        self.clock.set_synchronised(self.rng.chance(3, 4));
        let first = self.rng.below(6) as usize;
        let without = if self.rng.chance(1, 4) { vec![first, (first + 1) % 6] } else { Vec::new() };
        self.log.push(format!("restart (clean: {clean}), off for {off} ms, without {without:?}"));
        self.open(&without)?;
        // Those that were away are caught up before others may go.
        if !without.is_empty() {
            let vault = self.vault.take().ok_or("no vault")?;
            vault.close().map_err(|error| format!("closing: {error}"))?;
            self.open(&[])?;
        }
        Ok(())
    }

    /// Somebody edits the index of a vault that is down: takes a fact away, spoils it, or gives it the value of another.
    fn edit_index(&mut self) {
        const TARGETS: [Column; 5] =
            [Column::Version, Column::Current, Column::ObjectLock, Column::CaseHold, Column::Lifecycle];
        let column = TARGETS[self.rng.below(TARGETS.len() as u64) as usize];
        let rows = rows_of(self.index.as_ref(), column);
        if rows.is_empty() {
            return;
        }
        let mut pick = || self.rng.below(rows.len() as u64) as usize;
        let (at, other) = (pick(), pick());
        let mut spoilt = rows[at].1.clone();
        let place = self.rng.below(spoilt.len() as u64) as usize;
        spoilt[place] ^= 1 << self.rng.below(8);
        let value = [None, Some(spoilt), Some(rows[other].1.clone())][self.rng.below(3) as usize].clone();
        self.log.push(format!("{} row {at} of {} edited by hand", column.name(), rows.len()));
        let change = Change { column, key: rows[at].0.clone(), value };
        self.index.apply(Batch { changes: vec![change] }).unwrap();
        self.index.flush().unwrap();
    }

    /// The wall clock is set, and mostly put right again some time later.
    pub fn step_wall(&mut self) {
        let right = START + self.ran + self.off;
        self.wall = match self.rng.below(4) {
            0 => right + self.rng.below(400 * DAY),
            1 => right.saturating_sub(self.rng.below(400 * DAY)),
            _ => right,
        };
        self.clock.set_wall(self.wall);
        self.stepped = true;
        self.log.push(format!("the wall clock shows {}", self.wall));
    }

    pub fn accept(&mut self) -> Played<()> {
        let before = self.now()?;
        let vault = self.vault.as_ref().ok_or("no vault")?;
        let state = vault.accept_clock(&self.code).map_err(|error| error.to_string())?;
        if state.disputed || state.time != before.max(self.wall) {
            return Err(format!("accepted {} at {before}: {state:?}", self.wall));
        }
        self.accepted += state.time - before;
        self.acceptances += 1;
        self.wrote = true;
        self.log.push(format!("accepted {}", state.time));
        Ok(())
    }
}
