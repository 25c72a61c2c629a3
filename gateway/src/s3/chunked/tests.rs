//! Goal: framing reaches `s3s` in a form it reads right, whatever pieces the network makes of it, and memory for signed
//! chunks has a bound. Method: a plain decoder reads what the gate lets out; cuts at random places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::{any, proptest};
use proptest::{collection, sample};
use s3s::crypto::{Checksum as _, Md5, Sha256};

use super::{ChunkBudget, ChunkGate, DocumentCheck, PIECE_BYTES, parse_line};
use crate::s3::checksum::Expected;
use crate::stream::{BodyError, Inspector};

fn budget() -> ChunkBudget {
    ChunkBudget::new(8 << 20, 4 << 20)
}

fn poll(gate: &mut dyn Inspector) -> Poll<Option<Bytes>> {
    gate.poll_next(&mut Context::from_waker(Waker::noop()))
}

/// Everything that comes out without waiting.
fn out(gate: &mut dyn Inspector) -> Vec<u8> {
    let mut all = Vec::new();
    while let Poll::Ready(Some(bytes)) = poll(gate) {
        all.extend_from_slice(&bytes);
    }
    all
}

fn through(wire: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut gate = ChunkGate::new(budget());
    let mut all = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([wire.len()]) {
        gate.push(Bytes::copy_from_slice(&wire[from..cut])).unwrap();
        from = cut;
        all.extend(out(&mut gate));
    }
    all
}

#[test]
fn lines_are_read_with_any_number_of_digits() {
    let size = |line: &[u8]| parse_line(line).map(|(size, extension)| (size, extension.to_owned()));
    assert_eq!(size(b"0\r\n"), Some((0, String::new())));
    assert_eq!(size(b"140000000\r\n"), Some((0x1_4000_0000, String::new())));
    assert_eq!(size(b"0000000000000000000010;chunk-signature=ab\r\n"), Some((16, ";chunk-signature=ab".to_owned())));
    for broken in [&b"\r\n"[..], b";x\r\n", b"xyz\r\n", b"-1\r\n", b"10\n", b"10", b"11111111111111111\r\n"] {
        assert_eq!(size(broken), None, "{broken:?}");
    }
}

#[test]
fn ordinary_framing_passes_unchanged() {
    let signature = "a".repeat(64);
    let signed = format!("5;chunk-signature={signature}\r\nhello\r\n0;chunk-signature={signature}\r\n\r\n");
    assert_eq!(through(signed.as_bytes(), &[]), signed.as_bytes());
    let unsigned = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    assert_eq!(through(unsigned, &[]), unsigned);
    assert_eq!(through(b"00000005\r\nhello\r\n000\r\n\r\n", &[]), b"5\r\nhello\r\n0\r\n\r\n");
    let broken = b"no framing at all\r\n\r\n0\r\n";
    assert_eq!(through(broken, &[]), broken, "for s3s to refuse");
}

/// `s3s` takes a body without its last chunk for whole once the declared length has come. A body of no bytes at all is for it to
/// judge.
#[test]
fn a_body_without_its_last_chunk_is_not_whole() {
    let ended = |wire: &[u8]| {
        let mut gate = ChunkGate::new(budget());
        gate.push(Bytes::copy_from_slice(wire)).unwrap();
        assert!(gate.finish().is_ok(), "what waits is handed on first");
        out(&mut gate);
        gate.finish().map_err(|error| match error {
            BodyError::Mismatch { code, .. } => code,
            other => panic!("{other}"),
        })
    };
    let whole = format!("5;chunk-signature={0}\r\nhello\r\n0;chunk-signature={0}\r\n\r\n", "a".repeat(64));
    assert_eq!(ended(whole.as_bytes()), Ok(()));
    assert_eq!(ended(b""), Ok(()));
    let last = whole.len() - 86;
    for len in (1..whole.len() - 2).filter(|len| *len != last + 84) {
        assert_eq!(ended(&whole.as_bytes()[..len]), Err("IncompleteBody"), "{:?}", &whole[..len]);
    }
}

#[test]
fn a_chunk_of_five_gibibytes_is_split_into_pieces_that_s3s_can_read() {
    let size: u64 = 5 << 30;
    let block = Bytes::from(vec![7_u8; 1 << 20]);
    let mut gate = ChunkGate::new(budget());
    gate.push(Bytes::from(format!("{size:x}\r\n"))).unwrap();
    let mut sizes = Vec::new();
    let mut data = 0_u64;
    let mut read = |gate: &mut ChunkGate, data: &mut u64| {
        while let Poll::Ready(Some(bytes)) = poll(gate) {
            match parse_line(&bytes) {
                Some((size, "")) => sizes.push(size),
                _ if &bytes[..] == b"\r\n" => {}
                _ => *data += u64::try_from(bytes.len()).unwrap(),
            }
        }
    };
    for _ in 0..size >> 20 {
        gate.push(block.clone()).unwrap();
        read(&mut gate, &mut data);
    }
    gate.push(Bytes::from_static(b"\r\n0\r\n\r\n")).unwrap();
    read(&mut gate, &mut data);
    assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 0]);
    assert_eq!(data, size);
}

#[test]
fn large_signed_chunks_wait_for_their_share() {
    let signature = "a".repeat(64);
    let line = || Bytes::from(format!("{:x};chunk-signature={signature}\r\n", 4 << 20));
    let shared = budget();
    let mut gates: Vec<ChunkGate> = (0..3).map(|_| ChunkGate::new(shared.clone())).collect();
    for gate in &mut gates {
        gate.push(line()).unwrap();
        assert!(matches!(poll(gate), Poll::Ready(Some(_))), "the line itself passes");
        gate.push(Bytes::from_static(b"data")).unwrap();
    }
    assert!(matches!(poll(&mut gates[0]), Poll::Ready(Some(_))));
    assert!(matches!(poll(&mut gates[1]), Poll::Ready(Some(_))));
    assert!(poll(&mut gates[2]).is_pending(), "the budget of 8 MiB holds two chunks of 4 MiB");
    drop(gates.remove(0));
    assert!(matches!(poll(&mut gates[1]), Poll::Ready(Some(_))), "a share came back");
}

#[test]
fn chunks_over_the_limit_do_not_wait_because_s3s_refuses_them() {
    let mut gate = ChunkGate::new(budget());
    gate.push(Bytes::from(format!("{:x};chunk-signature=x\r\ndata", 5 << 20))).unwrap();
    assert!(out(&mut gate).ends_with(b"data"));
}

fn document(pairs: &[(&'static str, String)], sha256: Option<[u8; 32]>, body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let mut check = DocumentCheck::new(Expected::parse(&headers).unwrap(), sha256, 100);
    let code = |error| match error {
        BodyError::Mismatch { code, .. } => code,
        other => panic!("{other}"),
    };
    for byte in body.chunks(3) {
        check.push(Bytes::copy_from_slice(byte)).map_err(code)?;
        assert!(matches!(poll(&mut check), Poll::Ready(None)), "nothing leaves before it was checked");
    }
    check.finish().map_err(code)?;
    check.finish().map_err(code)?;
    Ok(out(&mut check))
}

#[test]
fn documents_leave_only_when_their_digests_agree() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let body = b"<Delete/>";
    let md5 = |bytes: &[u8]| ("content-md5", STANDARD.encode(Md5::checksum(bytes)));
    assert_eq!(document(&[md5(body)], None, body).unwrap(), body);
    assert_eq!(document(&[], Some(Sha256::checksum(body)), body).unwrap(), body);
    assert_eq!(document(&[], Some(Sha256::checksum(b"")), b"").unwrap(), b"");
    assert_eq!(document(&[md5(b"other")], None, body), Err("BadDigest"));
    assert_eq!(document(&[], Some([0; 32]), body), Err("XAmzContentSHA256Mismatch"));
    assert_eq!(document(&[], None, &[b'x'; 101]), Err("MaxMessageLengthExceeded"));
}

proptest! {
    #[test]
    fn cuts_do_not_matter(chunks in collection::vec(collection::vec(any::<u8>(), 1..40), 0..6), cuts in collection::vec(any::<sample::Index>(), 0..10)) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
        cuts.sort_unstable();
        assert_eq!(through(&wire, &cuts), wire);
    }

    #[test]
    fn hostile_framing_never_panics(wire in collection::vec(any::<u8>(), 0..200), cut in any::<sample::Index>()) {
        let cut = cut.index(wire.len() + 1);
        through(&wire, &[cut]);
    }
}
