//! Goal (L-1, A-1): whoever edits the index of a vault that is down changes nothing of what it holds, shows or lets go. Method: a vault with a
//! fact of every kind; each fact taken out, spoilt and put in another's place, with the digest made right again, as somebody would who knows
//! the format and has no key; rows and seals of earlier moments put back. Each time the vault shows what it showed before, its index is the
//! one that the disks give, and the trail says what was found.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use kovcheg_format::codec::{Decode as _, Encode as _};
use kovcheg_format::id::Epoch;
use kovcheg_format::record::version::{RetentionMode, VersionPut};

use super::fresh;
use super::script::{Play, State, steps};
use super::view::{check_rebuilt, difference, observe};
use crate::audit::trail;
use crate::index::digest::digest_of;
use crate::index::memory::MemoryIndex;
use crate::index::rows::{DoubtRow, META_APPLIED, META_CLOCK, META_DIGEST, META_DOUBT, META_EPOCH, META_FACTS};
use crate::index::seal::Doubt;
use crate::index::{Batch, Change, Column, Index as _, IndexRead as _};
use crate::testing::rows::rows_of;
use crate::testing::sim_disk::{CutPoint, Frozen, SimPool};
use crate::testing::world::World;
use crate::vault::Vault;

/// Columns whose rows decide what may be removed, changed or seen, and which files a start cuts or removes.
const FACTS: [Column; 20] = [
    Column::Bucket,
    Column::BucketName,
    Column::Version,
    Column::Current,
    Column::Upload,
    Column::Part,
    Column::Credential,
    Column::Tenant,
    Column::Grant,
    Column::Versioning,
    Column::ObjectLock,
    Column::UploadLock,
    Column::CaseHold,
    Column::Audit,
    Column::Lifecycle,
    Column::Quota,
    Column::Usage,
    Column::Segment,
    Column::Disk,
    Column::Checkpoint,
];

type Edit = (Column, Vec<u8>, Option<Vec<u8>>);

/// A vault that is down, to be edited again and again.
struct Down {
    world: World,
    disks: Frozen,
    index: Arc<MemoryIndex>,
    shown: State,
}

/// Plays the script of all records and ends cleanly.
fn down(seed: u64) -> Down {
    let mut play = Play::start(World::new("edited-index"), SimPool::new(seed, 6), Arc::new(AtomicUsize::new(0)));
    steps(seed).iter().for_each(|step| play.act(step));
    let (world, pool, index) = play.end();
    let disks = pool.freeze();
    let vault = world.open(disks.thaw(1).disks(), Arc::new(index.crash())).unwrap().vault;
    let shown = observe(vault.engine()).unwrap();
    assert_eq!(discarded(&vault), Vec::<String>::new(), "an index that nobody touched is believed");
    Down { world, disks, index, shown }
}

/// Applies edits as somebody would who knows that the digest of all rows stands beside them.
fn edit(index: &MemoryIndex, edits: &[Edit]) {
    let changes = edits.iter().cloned().map(|(column, key, value)| Change { column, key, value }).collect();
    index.apply(Batch { changes }).unwrap();
    let digest = Some(digest_of(index).unwrap().to_bytes().to_vec());
    let change = Change { column: Column::Meta, key: META_DIGEST.to_vec(), value: digest };
    index.apply(Batch { changes: vec![change] }).unwrap();
    index.flush().unwrap();
}

/// Reasons of the entries that say that an index was not believed.
fn discarded(vault: &Vault) -> Vec<String> {
    let mut found = Vec::new();
    let take = &mut |line: String| {
        if line.contains("\"action\":\"DiscardIndex\"") {
            let (_, rest) = line.split_once("\"reasons\":").expect("an entry of an act has reasons");
            found.push(rest.split_inclusive(']').next().unwrap().to_owned());
        }
        ControlFlow::Continue(())
    };
    trail::read(vault.engine(), take).unwrap();
    found
}

impl Down {
    /// Opens a copy with an index edited so; it must be as if nobody had, and say what was found.
    #[track_caller]
    fn attack(&self, what: &str, edits: &[Edit], doubt: Doubt) {
        let (pool, index) = (self.disks.thaw(1), Arc::new(self.index.crash()));
        edit(&index, edits);
        self.opens_as_before(what, &pool, index, doubt);
    }

    #[track_caller]
    fn opens_as_before(&self, what: &str, pool: &SimPool, index: Arc<MemoryIndex>, doubt: Doubt) {
        let opened = self.world.open(pool.disks(), index.clone());
        let vault = opened.unwrap_or_else(|error| panic!("{what}: {error}")).vault;
        let shown = observe(vault.engine()).unwrap();
        assert!(shown == self.shown, "{what}: {}", difference(&shown, &self.shown));
        assert_eq!(discarded(&vault), [format!("[\"{}\"]", doubt.code())], "{what}");
        vault.close().unwrap();
        check_rebuilt(&self.world, pool, &[0, 1, 2, 3, 4, 5], index.as_ref())
            .unwrap_or_else(|at| panic!("{what}: {at}"));
        // Once it was built anew it is believed again.
        let vault = self.world.open(pool.disks(), index).unwrap().vault;
        assert_eq!(discarded(&vault).len(), 1, "{what}");
    }
}

#[test]
fn no_fact_is_changed_by_hand() {
    let down = down(261);
    let index = down.index.as_ref();
    let meta = [META_CLOCK, META_EPOCH].map(|key| {
        let value = index.get(Column::Meta, key).unwrap().expect("a row of the clock and of the life");
        (Column::Meta, key.to_vec(), value)
    });
    let facts = FACTS.into_iter().flat_map(|column| {
        let rows = rows_of(index, column);
        assert!(!rows.is_empty(), "the script leaves no row in {}", column.name());
        // The first, and one in the middle: rows of a column are alike.
        let middle = rows.len() / 2;
        let picked: Vec<_> = rows.into_iter().enumerate().filter(|(at, _)| [0, middle].contains(at)).collect();
        picked.into_iter().map(move |(_, (key, value))| (column, key, value))
    });
    for (column, key, value) in facts.chain(meta) {
        let mut spoilt = value.clone();
        *spoilt.last_mut().expect("no fact is empty") ^= 1;
        let what = |how: &str| format!("{} {} {how}", column.name(), hex::encode(&key));
        down.attack(&what("spoilt"), &[(column, key.clone(), Some(spoilt))], Doubt::Edited);
        if column != Column::Meta {
            down.attack(&what("taken out"), &[(column, key.clone(), None)], Doubt::Edited);
            let beside = [key.as_slice(), b"x"].concat();
            down.attack(&what("beside itself"), &[(column, beside, Some(value))], Doubt::Edited);
        }
    }
}

/// What somebody with a plan does: the lock of one version is lifted and everything that can be counted without a key is counted anew.
#[test]
fn a_lock_is_not_lifted_by_hand() {
    let down = down(262);
    let locked = rows_of(down.index.as_ref(), Column::Version).into_iter().find_map(|(key, value)| {
        let version = VersionPut::from_bytes(&value).unwrap();
        (version.facts.retention != RetentionMode::None).then_some((key, version))
    });
    let (key, mut version) = locked.expect("the script locks versions");
    version.facts.retention = RetentionMode::None;
    version.facts.retain_until = 0;
    version.facts.legal_hold = false;
    let lifted = (Column::Version, key, Some(version.to_bytes()));
    down.attack("lifted", std::slice::from_ref(&lifted), Doubt::Edited);
    let mut seal = down.index.get(Column::Meta, META_FACTS).unwrap().unwrap();
    let taken_out = (Column::Meta, META_FACTS.to_vec(), None);
    down.attack("lifted and unsealed", &[lifted.clone(), taken_out], Doubt::Unsealed);
    seal[0] ^= 1;
    let forged = (Column::Meta, META_FACTS.to_vec(), Some(seal));
    down.attack("lifted and sealed by chance", &[lifted, forged], Doubt::Forged);
}

/// The position is no fact, and decides whether the facts are looked at.
#[test]
fn a_position_that_was_edited_is_told() {
    let down = down(266);
    let applied = down.index.get(Column::Meta, META_APPLIED).unwrap().unwrap();
    let at = |value: Option<Vec<u8>>| [(Column::Meta, META_APPLIED.to_vec(), value)];
    let mut elsewhere = applied.clone();
    elsewhere[20] ^= 1;
    down.attack("of another hash", &at(Some(elsewhere)), Doubt::Astray);
    down.attack("cut short", &at(applied.get(1..).map(<[u8]>::to_vec)), Doubt::Astray);
    down.attack("taken out", &at(None), Doubt::Astray);
}

/// Power goes at every sync of the start that finds the index edited; what is not flushed is lost, or all of it is kept. The start after
/// that tells it, once.
#[test]
fn a_crash_before_the_trail_says_it_does_not_swallow_it() {
    let down = down(267);
    let (key, _) = rows_of(down.index.as_ref(), Column::CaseHold).remove(0);
    let mut cuts = 0;
    for (point, kept) in [CutPoint::Before, CutPoint::Halfway, CutPoint::After].into_iter().zip([0, usize::MAX, 0]) {
        for sync in 1.. {
            let (pool, index) = (down.disks.thaw(sync), Arc::new(down.index.crash()));
            edit(&index, &[(Column::CaseHold, key.clone(), None)]);
            pool.cut_at(pool.syncs() + sync, point);
            let opened = down.world.open(pool.disks(), index.clone());
            if pool.is_on() {
                break;
            }
            drop(opened);
            pool.reboot();
            cuts += 1;
            let what = format!("{point:?} of sync {sync}");
            down.opens_as_before(&what, &pool, Arc::new(index.crash_after(kept)), Doubt::Edited);
        }
    }
    assert!(cuts > 30, "only {cuts} cuts");
}

/// A doubt that no life of this vault has found is not told at every start.
#[test]
fn a_doubt_that_was_made_up_is_told_once() {
    let down = down(268);
    let made_up = DoubtRow { epoch: Epoch(u64::from(u32::MAX)), doubt: Doubt::Forged.number() }.to_bytes();
    for (value, doubt) in [(made_up, Doubt::Forged), (b"?".to_vec(), Doubt::Edited)] {
        down.attack("made up", &[(Column::Meta, META_DOUBT.to_vec(), Some(value))], doubt);
    }
}

/// Rows and seal of an earlier moment under the position of now: what was placed since would be gone.
#[test]
fn an_earlier_moment_is_not_sealed_for_a_later_one() {
    let mut play = Play::start(World::new("edited-index-old"), SimPool::new(263, 6), Arc::new(AtomicUsize::new(0)));
    let script = steps(263);
    let half = script.len() * 3 / 4;
    script.iter().take(half).for_each(|step| play.act(step));
    play.index().flush().unwrap();
    let earlier = play.index().crash();
    script.iter().skip(half).for_each(|step| play.act(step));
    let (world, pool, index) = play.end();
    let disks = pool.freeze();
    let vault = world.open(disks.thaw(1).disks(), Arc::new(index.crash())).unwrap().vault;
    let shown = observe(vault.engine()).unwrap();
    drop(vault);
    let down = Down { world, disks, index, shown };
    // All of the earlier index is taken forward by the journal, and nothing is found amiss.
    let (pool, old) = (down.disks.thaw(1), Arc::new(earlier.crash()));
    let vault = down.world.open(pool.disks(), old).unwrap().vault;
    assert!(observe(vault.engine()).unwrap() == down.shown && discarded(&vault).is_empty());
    drop(vault);
    // The same rows under the position of now.
    let at = |key: &[u8]| (Column::Meta, key.to_vec(), down.index.get(Column::Meta, key).unwrap());
    for (what, kept, doubt) in [
        ("earlier rows, position of now", vec![at(META_APPLIED)], Doubt::Forged),
        ("earlier rows, position and seal of now", vec![at(META_APPLIED), at(META_FACTS)], Doubt::Forged),
    ] {
        let (pool, old) = (down.disks.thaw(1), Arc::new(earlier.crash()));
        edit(&old, &kept);
        down.opens_as_before(what, &pool, old, doubt);
    }
    let counters = at(crate::index::rows::META_COUNTERS);
    let (pool, old) = (down.disks.thaw(1), Arc::new(earlier.crash()));
    edit(&old, &[at(META_APPLIED), at(META_FACTS), counters]);
    down.opens_as_before("earlier rows, all of now that is sealed", &pool, old, Doubt::Edited);
}

/// A vault that takes no writes removes nothing either; it shows what it has and throws nothing away.
#[test]
fn a_vault_opened_for_reading_keeps_an_index_it_does_not_believe() {
    let down = down(264);
    let (pool, index) = (down.disks.thaw(1), Arc::new(down.index.crash()));
    let (key, _) = rows_of(index.as_ref(), Column::CaseHold).remove(0);
    edit(&index, &[(Column::CaseHold, key.clone(), None)]);
    drop(down.world.open_with(pool.disks(), index.clone(), true).unwrap());
    assert_eq!(index.get(Column::CaseHold, &key).unwrap(), None, "nothing was written");
    down.opens_as_before("opened for writing after that", &pool, index, Doubt::Edited);
}

/// A lost index is no doubtful one, and a checkpoint without a seal, as earlier releases wrote them, is passed over.
#[test]
fn checkpoints_without_a_seal_are_passed_over() {
    let down = down(265);
    let pool = down.disks.thaw(1);
    let vault = down.world.open(pool.disks(), Arc::new(down.index.crash())).unwrap().vault;
    let unsealed = Change { column: Column::Meta, key: META_FACTS.to_vec(), value: None };
    vault.engine().index.apply(Batch { changes: vec![unsealed] }).unwrap();
    assert!(vault.engine().checkpoint().unwrap());
    drop(vault);
    let index = fresh();
    let vault = down.world.open(pool.disks(), index.clone()).unwrap().vault;
    assert!(observe(vault.engine()).unwrap() == down.shown);
    assert!(discarded(&vault).is_empty());
    vault.close().unwrap();
    let vault = down.world.open(pool.disks(), index).unwrap().vault;
    assert!(discarded(&vault).is_empty(), "what was built without that checkpoint is believed");
}
