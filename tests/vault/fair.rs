//! Goal: one client that takes all it can gets neither all places nor all memory: others are served, and what it was promised is kept.
//! Method: a vault of few places; a client that opens requests and lets their bodies stand still, and a neighbour at another address.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::FromRawFd as _;
use std::time::Duration;

use crate::support::data;
use crate::support::s3::http::read_response;
use crate::support::s3::{Call, Client, Mode, Response, Sink};
use crate::support::vault::{Vault, wait_until};

/// A connection to the vault from an address of this machine.
fn connect_from(ip: [u8; 4], port: u16) -> TcpStream {
    let address = |ip: [u8; 4], port: u16| libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(ip) },
        sin_zero: [0; 8],
    };
    let length = std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: both addresses live longer than the calls that read them, and the descriptor is owned by the stream from here on.
    let stream = unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        let stream = TcpStream::from_raw_fd(socket);
        let (from, to) = (address(ip, 0), address([127, 0, 0, 1], port));
        assert_eq!(libc::bind(socket, (&raw const from).cast(), length), 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::connect(socket, (&raw const to).cast(), length), 0, "{}", std::io::Error::last_os_error());
        stream
    };
    assert_eq!(stream.local_addr().map(|address: SocketAddr| address.ip()).unwrap(), std::net::IpAddr::from(ip));
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// A put whose first half is sent.
struct Half {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Half {
    fn begin(client: &Client, from: [u8; 4], key: &str, body: &[u8]) -> Self {
        let ready = client.prepare(&Call::new("PUT", "bkt", key).body(body).mode(Mode::Unsigned));
        let mut stream = connect_from(from, client.port);
        let (first, rest) = body.split_at(body.len() / 2);
        // One that was refused may be closed already.
        let _ = stream.write_all(&ready.head).and_then(|()| stream.write_all(first));
        Self { stream, rest: rest.to_vec() }
    }

    fn is_answered(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let answered = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_nonblocking(false).unwrap();
        answered
    }

    fn end(mut self) -> Response {
        let _ = self.stream.write_all(&self.rest);
        read_response(&mut BufReader::new(&self.stream), false, Sink::Keep).unwrap()
    }
}

const GREEDY: [u8; 4] = [127, 0, 0, 1];
const NEIGHBOUR: [u8; 4] = [127, 0, 0, 2];

#[test]
fn one_client_does_not_get_all_places() {
    const PLACES: usize = 16;
    let mut vault = Vault::prepare("FAIR");
    vault.set_config(&format!("[s3]\nrequests_max = {PLACES}\n"));
    vault.start();
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(1, 100_000);
    let greedy: Vec<Half> =
        (0..2 * PLACES).map(|number| Half::begin(&client, GREEDY, &format!("greedy/{number}"), &body)).collect();
    let refused = 2 * PLACES - PLACES * 3 / 4;
    wait_until("those above its share to be refused", || {
        greedy.iter().filter(|half| half.is_answered()).count() == refused
    });
    let neighbour: Vec<Half> =
        (0..3).map(|number| Half::begin(&client, NEIGHBOUR, &format!("neighbour/{number}"), &body)).collect();
    for half in neighbour {
        half.end().expect_ok("a neighbour is served beside a greedy client");
    }
    let (mut stored, mut told) = (0, 0);
    for half in greedy {
        match half.end() {
            answer if answer.ok() => stored += 1,
            answer => {
                answer.expect_error("above its share", 503, "SlowDown");
                assert!(answer.text().contains("share"), "{}", answer.text());
                assert!(answer.header("retry-after").is_some());
                told += 1;
            }
        }
    }
    assert_eq!((stored, told), (2 * PLACES - refused, refused));
    assert_eq!(client.list("bkt", "", 1000).len(), stored + 3);
    let metric = vault.metrics().get("kovcheg_s3_refused_total", ("limit", "share"));
    assert_eq!(metric, Some(refused as f64));
}

fn in_flight(vault: &Vault) -> f64 {
    let samples = vault.metrics().0;
    samples.iter().find(|sample| sample.name == "kovcheg_s3_requests_in_flight").map_or(0.0, |sample| sample.value)
}

/// Of memory for two bodies one client gets one; its next waits, before it is asked for, and the neighbour's is stored meanwhile.
#[test]
fn bodies_wait_for_memory_and_all_are_stored() {
    let mut vault = Vault::prepare("BODIES");
    vault.set_config("[s3]\nbody_memory = '4 MiB'\n");
    vault.start();
    let client = vault.client();
    client.create_bucket("bkt");
    let body = data::random(2, 3 << 20);
    let first = Half::begin(&client, GREEDY, "first", &body);
    wait_until("the first to be taken in", || in_flight(&vault) == 1.0);
    let put = Call::new("PUT", "bkt", "second").body(&body).mode(Mode::Unsigned).header("expect", "100-continue");
    let mut second = Half { stream: connect_from(GREEDY, client.port), rest: body.clone() };
    second.stream.write_all(&client.prepare(&put).head).unwrap();
    wait_until("the second to wait", || in_flight(&vault) == 2.0);
    Half::begin(&client, NEIGHBOUR, "neighbour", &body).end().expect_ok("a neighbour's");
    assert_eq!(client.list("bkt", "", 10), ["neighbour"], "and requests without a body are served");
    assert!(!second.is_answered(), "the second was asked for its body too early");
    first.end().expect_ok("the first");
    let mut asked = [0; 25];
    second.stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    second.end().expect_ok("the second");
    for key in ["first", "second", "neighbour"] {
        assert!(client.get("bkt", key) == body, "{key}");
    }
}
