//! Acts of the model about lives and clocks: ends, cuts, time off, steps of the wall clock, and people who accept it.

use std::sync::Arc;

use super::super::fresh;
use super::{DAY, History, Played, START};

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
