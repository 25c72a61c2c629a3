//! Acts of the model about case holds, and about the tags by which some of them hold.

use kovcheg_format::record::version::Pair;

use super::rules::{Answer, Case, Kept};
use super::{BUCKET, History, KEYS, Played};
use crate::object::types::{HeldPart, VersionName, VersionRef};
use crate::testing::locks::{place_hold, set_tags};

fn tag() -> Pair {
    Pair { name: "case".to_owned(), value: "7".to_owned() }
}

/// Whether a version carries the tag of the model.
pub fn is_tagged(tags: &[Pair]) -> bool {
    tags.contains(&tag())
}

impl History {
    /// Whether a case hold covers it.
    pub fn in_case(&self, kept: &Kept) -> bool {
        self.cases.iter().any(|case| case.covers(kept, KEYS[kept.key]))
    }

    /// Mostly on one version: what is held is held for ever, and a history in which nothing goes shows little.
    pub fn place_case(&mut self) -> Played<()> {
        let (case, part) = match self.rng.below(8) {
            0 => (Case::All, HeldPart::Bucket),
            1 | 2 => (Case::Under("a/"), HeldPart::Prefix("a/".to_owned())),
            3 | 4 => (Case::Tagged, HeldPart::Tag(tag())),
            _ if self.kept.is_empty() => return Ok(()),
            _ => {
                let kept = &self.kept[self.rng.below(self.kept.len() as u64) as usize];
                let part = HeldPart::Version(KEYS[kept.key].to_owned(), Some(VersionName::Id(kept.id)));
                (Case::One(kept.id), part)
            }
        };
        self.log.push(format!("case hold {case:?}"));
        self.wrote = true;
        let placed = place_hold(self.engine()?, BUCKET, "7", part.clone()).map_err(|error| error.to_string())?;
        if placed.part != part {
            return Err(format!("placed {placed:?}"));
        }
        self.cases.push(case);
        Ok(())
    }

    /// Tags come and go, but not so that a version slips out of a case hold.
    pub fn tag(&mut self) -> Played<()> {
        // Mostly of versions that carry one, which are few.
        let tagged: Vec<usize> = (0..self.kept.len()).filter(|at| self.kept[*at].tagged).collect();
        let (target, at) = match tagged.len() as u64 {
            some @ 1.. if self.rng.chance(1, 2) => {
                let at = tagged[self.rng.below(some) as usize];
                let (key, version) = (KEYS[self.kept[at].key].into(), Some(VersionName::Id(self.kept[at].id)));
                (VersionRef { bucket: BUCKET.into(), key, version }, Some(at))
            }
            _ => self.a_target(),
        };
        let wanted = self.rng.chance(1, 2);
        let slips = |at: usize| {
            let (kept, after) = (&self.kept[at], Kept { tagged: wanted, ..self.kept[at].clone() });
            self.cases.iter().any(|case| case.covers(kept, KEYS[kept.key]) && !case.covers(&after, KEYS[kept.key]))
        };
        let expected = match at {
            None => Answer::Absent,
            Some(at) if slips(at) => Answer::Refused(vec!["case-hold".to_owned()]),
            Some(_) => Answer::Done,
        };
        let tags = if wanted { vec![tag()] } else { Vec::new() };
        let (found, done) = Answer::of(set_tags(self.engine()?, &target, tags))?;
        self.expect(format!("tag {wanted} of {target:?}"), &found, &expected)?;
        if let (Some(()), Some(at)) = (done, at) {
            self.kept[at].tagged = wanted;
        }
        Ok(())
    }
}
