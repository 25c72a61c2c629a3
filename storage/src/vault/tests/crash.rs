//! Goal: whatever moment the power goes, everything acknowledged is there, the step under way is there as a whole or not at
//! all, and nothing else (W-1, W-2); no nonce is ever used for two ciphertexts (K-1). Method: one run of a script that writes
//! every kind of record; the disks are frozen at every single sync, thawed with un-synced writes dropped and torn at random,
//! opened with an empty index or one as old as its last flush, compared with the model, written to, opened and compared again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kovcheg_format::frame::Frame;
use kovcheg_format::id::StripeHash;
use kovcheg_format::keyring::SealedKeyring;
use kovcheg_format::record::Record;
use kovcheg_format::shard::{ShardFront, StripeKind};
use parking_lot::Mutex;

use super::script::{Play, State, next, steps};
use super::view::{observe, told};
use super::{bytes, fresh};
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::index::memory::MemoryIndex;
use crate::journal::recover::open_frame;
use crate::journal::scan::Chain;
use crate::testing::driver::put;
use crate::testing::sim_disk::{Frozen, SimPool};
use crate::testing::world::{World, small_config};

/// Fewest syncs the script must make for the test to be worth its name.
const SYNCS_MIN: usize = 500;

struct Moment {
    sync: u64,
    frozen: Frozen,
    index: MemoryIndex,
    acknowledged: usize,
    /// Whether the key file was there.
    key: bool,
}

fn seed() -> u64 {
    let seed = std::env::var("KOVCHEG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_124);
    eprintln!("KOVCHEG_SEED={seed}");
    seed
}

/// Data shards of a stripe as far as they were seen.
type Shards = Vec<Option<Vec<u8>>>;

/// Every nonce seen, with the hash of what it sealed.
#[derive(Default)]
struct Nonces {
    seen: HashMap<[u8; 24], u64>,
    shards: HashMap<(StripeHash, u64, u64), Shards>,
    /// Stripes looked into.
    stripes: u64,
}

impl Nonces {
    /// Takes a write as the disk got it; once all data shards of a stripe were seen, looks into its payload.
    fn write(&mut self, data: &[u8]) {
        if let Ok(ring) = SealedKeyring::from_file(data) {
            return self.note(&ring.nonce, &ring.sealed);
        }
        let Ok(front) = ShardFront::decode(data) else { return };
        let head = front.header;
        if head.index >= head.k {
            return;
        }
        let start = head.data_offset();
        let shards = self.shards.entry((head.hash, head.segment.0, head.offset)).or_default();
        shards.resize(usize::from(head.k), None);
        shards[usize::from(head.index)] = Some(data[start..start + head.shard_len as usize].to_vec());
        if !shards.iter().any(Option::is_none) {
            let mut payload: Vec<u8> = shards.iter().flatten().flatten().copied().collect();
            payload.truncate(usize::try_from(head.payload_len).unwrap());
            self.shards.remove(&(head.hash, head.segment.0, head.offset));
            self.stripes += 1;
            if head.kind != StripeKind::Data {
                self.note(&payload[..24], &payload[24..head.inner_len as usize]);
            }
            let envelopes: Vec<usize> =
                payload.windows(4).enumerate().filter(|(_, four)| *four == b"KVE1").map(|(at, _)| at).collect();
            for at in envelopes {
                if let (Some(nonce), Some(sealed)) = (payload.get(at + 20..at + 44), payload.get(at + 56..at + 88)) {
                    self.note(nonce, sealed);
                }
            }
        }
    }

    fn note(&mut self, nonce: &[u8], sealed: &[u8]) {
        let hash = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, sealed);
        let before = self.seen.insert(nonce.try_into().unwrap(), hash);
        assert!(before.is_none_or(|before| before == hash), "nonce {nonce:?} seals two ciphertexts");
    }
}

/// The states after 0, 1, 2 … acknowledged steps; the first two are before and after the first start.
fn states(script: &[super::script::Step]) -> Vec<State> {
    let mut states = vec![State::new(), State::new()];
    for step in script {
        let after = next(&states[states.len() - 1], step);
        states.push(after);
    }
    states
}

fn check(world: &World, moment: &Moment, states: &[State], seed: u64, nonces: &Arc<Mutex<Nonces>>) {
    let pool = moment.frozen.thaw(seed ^ moment.sync);
    hook(&pool, nonces);
    let index = if moment.sync.is_multiple_of(2) { fresh() } else { Arc::new(moment.index.crash()) };
    let (before, after) = (&states[moment.acknowledged], states.get(moment.acknowledged + 1));
    let place = format!("sync {}, step {}, KOVCHEG_SEED={seed}", moment.sync, moment.acknowledged);
    // The system disk as it was: before the key file was made there is none.
    let own = World::with_config("no-key-yet", world.config.clone());
    let world = if moment.key { world } else { &own };
    let opened = world.open(pool.disks(), index.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let found = observe(opened.vault.engine()).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert!(
        found == *before || Some(&found) == after,
        "{place}:\nfound  {:?}\nbefore {:?}\nafter  {:?}",
        told(&found),
        told(before),
        after.map(told)
    );
    if !found.contains_key("ledger/") {
        return;
    }
    put(opened.vault.engine(), "ledger", "after-the-cut", &bytes(moment.sync, 50_000)).unwrap();
    drop(opened);
    let opened = world.open(pool.disks(), fresh()).unwrap_or_else(|error| panic!("{place}, again: {error}"));
    let mut expected = found;
    expected.insert("ledger/after-the-cut".into(), Arc::new(bytes(moment.sync, 50_000)));
    assert!(observe(opened.vault.engine()).unwrap() == expected, "{place}: differs after a write and another start");
    drop(opened);
    // W-1: from the moment of the acknowledgement any two disks may go.
    let pair = [moment.sync % 6, (moment.sync / 6 + moment.sync + 1) % 6];
    let left: Vec<_> = (0..6).filter(|disk| !pair.contains(&(*disk as u64))).map(|disk| pool.disk(disk)).collect();
    let opened = world.open(left, fresh()).unwrap_or_else(|error| panic!("{place}, without {pair:?}: {error}"));
    assert!(observe(opened.vault.engine()).unwrap() == expected, "{place}: differs without {pair:?}");
}

fn hook(pool: &SimPool, nonces: &Arc<Mutex<Nonces>>) {
    let nonces = nonces.clone();
    pool.on_write(Box::new(move |_, _, _, data| nonces.lock().write(data)));
}

/// Every kind of record in the journal of a pool.
fn kinds(engine: &Engine) -> BTreeSet<&'static str> {
    let mut chain = Chain::find(engine.reader.mender().clone()).unwrap();
    let mut kinds = BTreeSet::new();
    while let Some(found) = chain.advance().unwrap() {
        let Frame { records } = open_frame(&engine.metadata, &found).unwrap();
        for record in &records {
            if let Record::SegmentOpened(opened) = record {
                chain.learn(opened);
            }
            let name = Record::TAGS.iter().find(|(tag, _)| *tag == record.tag()).unwrap().1;
            kinds.insert(name);
        }
    }
    kinds
}

#[test]
fn every_sync_is_a_crash_point() {
    let (syncs, nonces) = run("every-sync", small_config(), seed(), 1);
    assert!(syncs >= SYNCS_MIN, "only {syncs} syncs");
    assert!(nonces > 10 * syncs, "only {nonces} nonces were looked at");
}

/// Goal: the same for stripes as a real vault writes them, whose shards are whole blocks of the payload's memory. Method: the
/// settings of chunks and stripes that ship; every few syncs, as there is more to write.
#[test]
fn large_stripes_crash_as_well() {
    let shipped = EngineConfig::default();
    let config = EngineConfig {
        profile: shipped.profile,
        stripe_payload: 512 << 10,
        inline_bytes: shipped.inline_bytes,
        segment_shard_len: 4 << 20,
        ..small_config()
    };
    run("large-stripes", config, seed() ^ 1, 9);
}

/// Plays the script on these settings and checks every `stride`-th sync. Answers syncs and nonces.
fn run(name: &str, config: EngineConfig, seed: u64, stride: usize) -> (usize, usize) {
    let script = steps(seed);
    let states = states(&script);
    let (pool, acknowledged) = (SimPool::new(seed, 6), Arc::new(AtomicUsize::new(0)));
    let (moments, nonces) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Nonces::default())));
    hook(&pool, &nonces);
    let index_now: Arc<Mutex<Option<Arc<MemoryIndex>>>> = Arc::default();
    let (kept, count, index) = (moments.clone(), acknowledged.clone(), index_now.clone());
    let world = World::with_config(name, config);
    let key_file = world.key_file();
    pool.on_sync(Box::new(move |sync, frozen| {
        let index = index.lock().as_ref().map_or_else(MemoryIndex::new, |index| index.crash());
        let (acknowledged, key) = (count.load(Ordering::SeqCst), key_file.exists());
        kept.lock().push(Moment { sync, frozen, index, acknowledged, key });
    }));
    let mut play = Play::start(world, pool.clone(), acknowledged);
    *index_now.lock() = Some(play.index().clone());
    for step in &script {
        play.act(step);
    }
    let opened = World::open(&play.world, pool.freeze().thaw(1).disks(), fresh()).unwrap();
    let kinds = kinds(opened.vault.engine());
    let missing: Vec<_> = Record::TAGS.iter().map(|(_, name)| *name).filter(|name| !kinds.contains(name)).collect();
    assert!(missing.is_empty(), "records that the script does not write: {missing:?}");
    let moments = std::mem::take(&mut *moments.lock());
    let at = AtomicUsize::new(0);
    let stride = std::env::var("KOVCHEG_CRASH_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(stride);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(moment) = moments.get(at.fetch_add(stride, Ordering::Relaxed)) {
                    check(&play.world, moment, &states, seed, &nonces);
                }
            });
        }
    });
    let nonces = nonces.lock();
    let (seen, stripes) = (nonces.seen.len(), nonces.stripes);
    assert!(stripes > 0, "no stripe was looked into");
    eprintln!("{name}: {} syncs, {} steps, {seen} nonces in {stripes} stripes", moments.len(), script.len());
    (moments.len(), seen)
}
