//! Acts of the model about lifecycle rules, and the walk that carries them out.

use kovcheg_format::record::lifecycle::LifecycleRule;
use kovcheg_format::record::version::{RetentionMode, VersionKind};

use super::rules::{Answer, Expiry, Kept, removal};
use super::{BUCKET, History, KEYS, Played};
use crate::lifecycle::run;
use crate::object::bucket;
use crate::object::version::newest;
use crate::testing::locks::{rule, set_rules};

impl History {
    pub fn set_rule(&mut self) -> Played<()> {
        let some = Expiry {
            days: self.rng.below(4),
            noncurrent_days: self.rng.below(4),
            keep: self.rng.below(3) as usize,
            markers: self.rng.chance(1, 2),
        };
        // Days and markers exclude each other, and something must be done.
        let some = Expiry { markers: some.markers && some.days == 0, ..some };
        let some = Expiry { keep: if some.noncurrent_days > 0 { some.keep } else { 0 }, ..some };
        let acts = some.days > 0 || some.noncurrent_days > 0 || some.markers;
        self.rule = (acts && self.rng.chance(3, 4)).then_some(some);
        let rules = self.rule.map(|asked| LifecycleRule {
            expire_days: asked.days as u32,
            expire_markers: asked.markers,
            noncurrent_days: asked.noncurrent_days as u32,
            noncurrent_keep: asked.keep as u32,
            ..rule("model")
        });
        self.log.push(format!("rule {:?}", self.rule));
        self.wrote = true;
        set_rules(self.engine()?, BUCKET, rules.into_iter().collect()).map_err(|error| error.to_string())
    }

    /// One walk: what was due at its beginning goes, unless it is locked or held; nothing else does.
    pub fn expire(&mut self) -> Played<()> {
        let now = self.now()?;
        let mut marked = Vec::new();
        let (mut gone, mut kept) = (0, 0);
        if let Some(rule) = self.rule {
            for key in 0..KEYS.len() {
                let versions: Vec<Kept> = self.kept.iter().filter(|kept| kept.key == key).cloned().collect();
                let (current, others) = rule.due(&versions, now);
                if current {
                    marked.push(key);
                }
                for id in others {
                    let at = self.kept.iter().position(|kept| kept.id == id).ok_or("it was there")?;
                    if removal(&self.kept[at], self.in_case(&self.kept[at]), false, now) == Answer::Done {
                        self.kept.remove(at);
                        gone += 1;
                    } else {
                        kept += 1;
                    }
                }
            }
        }
        let walked = run(self.engine()?, &|| false).map_err(|error| error.to_string())?;
        self.log.push(format!("walk at {now}: {walked:?}"));
        self.wrote |= walked.gone > 0;
        if (walked.gone, walked.kept) != (gone + marked.len() as u64, kept) {
            return Err(format!("walk at {now}: {walked:?}, expected {gone} and {} marked, {kept} kept", marked.len()));
        }
        for key in marked {
            let view = self.engine()?.index.as_ref();
            let bucket = bucket::find(view, BUCKET).map_err(|error| error.to_string())?.bucket;
            let found = newest(view, bucket, KEYS[key]).map_err(|error| error.to_string())?.ok_or("no marker")?;
            if found.kind != VersionKind::DeleteMarker || self.kept.iter().any(|kept| kept.id == found.version) {
                return Err(format!("no marker over {}: {found:?}", KEYS[key]));
            }
            let born = self.now()?.max(self.wall);
            let (id, mode) = (found.version, RetentionMode::None);
            self.kept.push(Kept { key, id, marker: true, mode, until: 0, hold: false, tagged: false, size: 0, born });
        }
        Ok(())
    }
}
