//! Who is let in when there is not room for everybody: places for connections and requests, shared fairly among clients, and memory for
//! the bodies on their way in.
//!
//! A client is an address (of IPv6 the first 64 bits, which one host usually has to itself). While a quarter of the places is free nobody
//! is asked how many he has. Of the last quarter a client gets no more than its share, which leaves room for one more client than there
//! are: one that opens all it can never keeps the others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Memory that a body on its way in takes at most: what came and is not yet handed on, at hyper, at the chunker and at MD5. Stripes are
/// counted by the engine (`engine.upload_memory`).
pub const BODY_BYTES_MAX: u64 = 2 << 20;
/// Memory that any body takes.
const BODY_BYTES_MIN: u64 = 16 << 10;
/// Bodies are counted in units of this many bytes.
const UNIT_BYTES: u64 = 1 << 10;

/// Where requests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Client(IpAddr);

impl Client {
    fn of(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All places are taken.
    Full,
    /// Few are left, and the client has its share.
    Share,
}

/// Whether a client that has `own` of the `taken` places, of `max`, may take another. `clients` have any or ask for one.
fn decide(max: usize, taken: usize, own: usize, clients: usize) -> Option<Refusal> {
    if taken >= max {
        return Some(Refusal::Full);
    }
    let scarce = taken >= max - max / 4;
    let share = (max / (clients + 1)).max(1);
    (scarce && own >= share).then_some(Refusal::Share)
}

/// Places of one kind.
#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<Client, usize>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    client: Client,
}

impl Places {
    /// So many places.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::new(Taken::default()) })
    }

    /// A place for whoever is at `address`.
    pub(crate) fn enter(self: &Arc<Self>, address: SocketAddr) -> Result<Place, Refusal> {
        let client = Client::of(address);
        let mut taken = self.taken.lock();
        let own = taken.by_client.get(&client).copied().unwrap_or(0);
        let clients = taken.by_client.len() + usize::from(own == 0);
        if let Some(refusal) = decide(self.max, taken.all, own, clients) {
            return Err(refusal);
        }
        taken.all += 1;
        taken.by_client.insert(client, own + 1);
        Ok(Place { places: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        let left = taken.by_client.get(&self.client).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            taken.by_client.remove(&self.client);
        } else {
            taken.by_client.insert(self.client, left);
        }
    }
}

/// Memory for the bodies of all requests. Those that come first get it first; no client gets more than three quarters.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    all: Arc<Semaphore>,
    share: usize,
    clients: Mutex<HashMap<Client, Arc<Semaphore>>>,
}

/// A client's part of the budget, forgotten with the last body that uses it.
#[derive(Debug)]
struct Own {
    budget: Arc<BodyBudget>,
    client: Client,
    units: Arc<Semaphore>,
}

/// Memory for a body, free again when dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    // Dropped in this order: whether anybody else uses the client's part is seen when its permit is gone.
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _part: Own,
}

impl BodyBudget {
    /// `bytes` in all, at least what one body may take.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let units = |bytes: u64| usize::try_from(bytes / UNIT_BYTES).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).max(BODY_BYTES_MAX);
        let share = units((bytes - bytes / 4).max(BODY_BYTES_MAX));
        Arc::new(Self { all: Arc::new(Semaphore::new(units(bytes))), share, clients: Mutex::new(HashMap::new()) })
    }

    /// Memory for a body of `len` bytes, if known, from `address`, waited for no longer than `patience`.
    pub(crate) async fn take(
        self: &Arc<Self>,
        address: SocketAddr,
        len: Option<u64>,
        patience: Duration,
    ) -> Option<Memory> {
        let part = self.part_of(Client::of(address));
        let units = units_of(len);
        let taking = async {
            let own = Arc::clone(&part.units).acquire_many_owned(units).await?;
            Ok::<_, AcquireError>((Arc::clone(&self.all).acquire_many_owned(units).await?, own))
        };
        let (all, own) = timeout(patience, taking).await.ok()?.ok()?;
        Some(Memory { _all: all, _own: own, _part: part })
    }

    fn part_of(self: &Arc<Self>, client: Client) -> Own {
        let mut clients = self.clients.lock();
        let units = clients.entry(client).or_insert_with(|| Arc::new(Semaphore::new(self.share)));
        Own { budget: Arc::clone(self), client, units: Arc::clone(units) }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut clients = self.budget.clients.lock();
        // The map's and this one: nobody else takes or waits, and under the lock nobody can begin to.
        if Arc::strong_count(&self.units) <= 2 {
            clients.remove(&self.client);
        }
    }
}

fn units_of(len: Option<u64>) -> u32 {
    let bytes = len.unwrap_or(BODY_BYTES_MAX).clamp(BODY_BYTES_MIN, BODY_BYTES_MAX);
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::SocketAddr;
    use std::time::Duration;

    use super::{BODY_BYTES_MAX, BodyBudget, Client, Places, Refusal, decide, units_of};

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn scarce_places_are_shared() {
        for (max, taken, own, clients, expected) in [
            (100, 0, 0, 1, None),
            (100, 74, 74, 1, None),
            (100, 75, 75, 1, Some(Refusal::Share)),
            (100, 75, 0, 2, None),
            (100, 80, 5, 2, None),
            (100, 99, 32, 2, None),
            (100, 99, 33, 2, Some(Refusal::Share)),
            (100, 99, 0, 1000, None),
            (100, 99, 1, 1000, Some(Refusal::Share)),
            (100, 100, 0, 1, Some(Refusal::Full)),
            (1, 0, 0, 1, None),
            (1, 1, 0, 1, Some(Refusal::Full)),
            (2, 1, 1, 1, None),
        ] {
            assert_eq!(decide(max, taken, own, clients), expected, "{own} of {taken} of {max}, {clients} clients");
        }
    }

    /// Goal: whatever one client takes, others find places; all of them come back.
    #[test]
    fn one_client_never_keeps_the_others_out() {
        let places = Places::new(40);
        let mut greedy = Vec::new();
        let refused = loop {
            match places.enter(at("10.0.0.1:1")) {
                Ok(place) => greedy.push(place),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!((greedy.len(), refused), (30, Refusal::Share));
        let others: Vec<_> = (2..12).map(|host| places.enter(at(&format!("10.0.0.{host}:1"))).unwrap()).collect();
        assert_eq!(places.enter(at("10.0.0.99:1")).unwrap_err(), Refusal::Full);
        drop(greedy);
        assert!(places.enter(at("10.0.0.99:1")).is_ok());
        drop(others);
        let taken = places.taken.lock();
        assert_eq!((taken.all, taken.by_client.len()), (0, 0));
    }

    #[test]
    fn a_host_is_one_client_over_all_its_ports_and_addresses() {
        let client = |text: &str| Client::of(at(text));
        assert_eq!(client("10.0.0.1:1"), client("10.0.0.1:2"));
        assert_ne!(client("10.0.0.1:1"), client("10.0.0.2:1"));
        assert_eq!(client("[::ffff:10.0.0.1]:1"), client("10.0.0.1:2"));
        assert_eq!(client("[2001:db8:1:2::1]:1"), client("[2001:db8:1:2:ffff::9]:1"));
        assert_ne!(client("[2001:db8:1:2::1]:1"), client("[2001:db8:1:3::1]:1"));
    }

    #[tokio::test]
    async fn bodies_wait_for_memory_and_give_it_back() {
        assert_eq!(
            [units_of(Some(1)), units_of(Some(100_000)), units_of(Some(1 << 40)), units_of(None)],
            [16, 98, 2048, 2048]
        );
        let budget = BodyBudget::new(usize::try_from(2 * BODY_BYTES_MAX).unwrap());
        let moment = Duration::from_millis(20);
        let (greedy, neighbour) = (at("10.0.0.1:1"), at("10.0.0.2:1"));
        let large = budget.take(greedy, None, moment).await.unwrap();
        assert!(budget.take(greedy, Some(1 << 30), moment).await.is_none(), "two would be more than three quarters");
        let beside = budget.take(neighbour, Some(1 << 30), moment).await.unwrap();
        assert!(budget.take(at("10.0.0.3:1"), Some(4096), moment).await.is_none(), "nothing is left");
        drop(large);
        let small = budget.take(greedy, Some(4096), moment).await.unwrap();
        assert_eq!(budget.clients.lock().len(), 2);
        drop((beside, small));
        assert!(budget.clients.lock().is_empty(), "clients without bodies are forgotten");
        assert_eq!(budget.all.available_permits(), 4096);
    }
}
