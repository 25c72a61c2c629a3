//! Goal: requests are answered as S3 answers them: conditions, rights, links, ranges, hosts, clocks and verbs. Method: raw requests with
//! the one thing wrong, beside the same request without it.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;

use crate::support::data;
use crate::support::s3::http::read_response;
use crate::support::s3::{Call, Client, Keys, Mode, Response, Sink, http};
use crate::support::vault::Vault;

/// T10, for buckets that never kept versions: no answer names one, and the one that is there is `null`. (`versions.rs` has the others.)
#[test]
fn t10_buckets_without_versions_name_none() {
    let vault = Vault::start_new("T10");
    let client = vault.client();
    client.create_bucket("bkt");
    for key in ["k", "folder/"] {
        let put = client.put("bkt", key, b"x");
        let copy =
            client.send(&Call::new("PUT", "bkt", "copy").header("x-amz-copy-source", format!("/bkt/{key}"))).unwrap();
        let upload = client.create_upload("bkt", key);
        let etag = client.upload_part("bkt", key, &upload, 1, b"xy");
        let done = client.complete("bkt", key, &upload, &[(1, etag)]);
        let head = client.head_object("bkt", key);
        let null = client.send(&Call::new("HEAD", "bkt", key).query("versionId", "null")).unwrap();
        let gone = client.send(&Call::new("DELETE", "bkt", key).query("versionId", "null")).unwrap();
        for (what, answer) in
            [("put", put), ("copy", copy), ("complete", done), ("head", head), ("head null", null), ("delete", gone)]
        {
            let answer = answer.expect_ok(what);
            assert_eq!(answer.header("x-amz-version-id"), None, "{what} of {key}");
            assert_eq!(answer.header("x-amz-delete-marker"), None, "{what} of {key}");
        }
        assert_eq!(client.head_object("bkt", key).status, 404, "the version null was deleted");
    }
}

/// T12, the other half: of uploads completed at once on condition that there is no object, one wins.
#[test]
fn t12_conditional_completions_have_one_winner() {
    const CLIENTS: usize = 12;
    let vault = Vault::start_new("T12");
    let client = vault.client();
    client.create_bucket("bkt");
    for round in 0..3 {
        let key = format!("once-{round}");
        let documents: Vec<(String, String, Vec<u8>)> = (0..CLIENTS)
            .map(|number| {
                let (upload, body) = (client.create_upload("bkt", &key), data::random(number as u64, 1000));
                let etag = client.upload_part("bkt", &key, &upload, 1, &body);
                let part = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
                (upload, format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"), body)
            })
            .collect();
        let answers: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = documents
                .iter()
                .map(|(upload, document, _)| {
                    let call = Call::new("POST", "bkt", &key).query("uploadId", upload).body(document.as_bytes());
                    let (client, call) = (client.clone(), call.header("if-none-match", "*"));
                    scope.spawn(move || client.send(&call).unwrap().status)
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..CLIENTS).filter(|number| answers[*number] == 200).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|status| matches!(status, 200 | 409 | 412)), "{answers:?}");
        assert!(client.get("bkt", &key) == documents[winners[0]].2, "the object is the winner's");
    }
}

/// A client with a new access key for `bucket` with these rights.
fn with_rights(vault: &Vault, bucket: &str, rights: &str) -> Client {
    let made = vault.cli_json(&["access-key", "create", "--tenant", "default", "--allow", rights, "--bucket", bucket]);
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    Client { port: vault.s3_port(), keys: Keys { access: text("access_key"), secret: text("secret_key") } }
}

/// T15: a copy needs the right to read its source, whole or in parts.
#[test]
fn t15_a_copy_needs_the_right_to_read_its_source() {
    let vault = Vault::start_new("T15");
    let root = vault.client();
    root.create_bucket("ledger");
    root.create_bucket("out");
    root.put("ledger", "secret", b"the content");
    let writer = with_rights(&vault, "out", "read,write,list,delete");
    let upload = writer.create_upload("out", "stolen");
    for source in ["/ledger/secret", "ledger/secret", "/ledger/absent", "/nobucket/k", "/ledger/secret?versionId=null"]
    {
        let copy = writer.send(&Call::new("PUT", "out", "stolen").header("x-amz-copy-source", source)).unwrap();
        copy.expect_error(&format!("copy of {source}"), 403, "AccessDenied");
        let part = Call::new("PUT", "out", "stolen").query("partNumber", 1).query("uploadId", &upload);
        let part = writer.send(&part.header("x-amz-copy-source", source)).unwrap();
        part.expect_error(&format!("part from {source}"), 403, "AccessDenied");
    }
    let parts = writer.send(&Call::new("GET", "out", "stolen").query("uploadId", &upload)).unwrap().expect_ok("parts");
    assert!(parts.xml_all("PartNumber").is_empty());
    assert!(root.list("out", "", 10).is_empty());
    let blind = with_rights(&vault, "ledger", "write");
    let own = blind.send(&Call::new("PUT", "ledger", "again").header("x-amz-copy-source", "/ledger/secret")).unwrap();
    own.expect_error("within a bucket that may only be written", 403, "AccessDenied");
}

/// T15: a presigned link does what was signed. A header of S3 that somebody adds to it is refused, above all one that would turn an
/// upload into a copy.
#[test]
fn t15_headers_added_to_a_presigned_link_are_refused() {
    let vault = Vault::start_new("T15LINKS");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "secret", b"the content");
    let link = |method: &'static str, header: &str| {
        let mut call = Call::new(method, "bkt", "k").mode(Mode::Unsigned);
        call.presigned = true;
        if method == "PUT" {
            call = call.body(b"by link");
        }
        let head = String::from_utf8(client.prepare(&call).head).unwrap();
        let head =
            if header.is_empty() { head } else { head.replacen("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"), 1) };
        let body = if method == "PUT" { &b"by link"[..] } else { b"" };
        http::exchange(client.port, head.as_bytes(), &mut |to| to.write_all(body), Sink::Keep).unwrap()
    };
    for header in [
        "x-amz-copy-source: /bkt/secret",
        "X-Amz-Meta-Owner: somebody",
        "x-amz-tagging: a=b",
        "x-amz-object-lock-legal-hold: ON",
        "x-amz-storage-class: GLACIER",
        "x-amz-acl: public-read",
    ] {
        let answer = link("PUT", header);
        assert_eq!(answer.status, 403, "{header}: {}", answer.text());
        assert!(
            matches!(answer.code().as_str(), "AccessDenied" | "SignatureDoesNotMatch"),
            "{header}: {}",
            answer.text()
        );
    }
    assert_eq!(client.try_get("bkt", "k").unwrap().status, 404, "nothing was stored");
    link("PUT", "").expect_ok("the link as it was signed");
    link("PUT", "content-type: text/plain").expect_ok("a header of HTTP, which a browser adds by itself");
    assert_eq!(link("GET", "").expect_ok("read by link").body, b"by link");
}

/// T17: ranges are exact, a download that broke off goes on after a restart, and answers without a body have none.
#[test]
fn t17_ranges_parts_and_resumed_downloads() {
    let mut vault = Vault::start_new("T17");
    let client = vault.client();
    client.create_bucket("bkt");
    let bodies = [data::random(1, 5 << 20), data::random(2, 3_333_333)];
    let upload = client.create_upload("bkt", "k");
    let parts: Vec<(u32, String)> = (1..)
        .zip(&bodies)
        .map(|(number, body)| (number, client.upload_part("bkt", "k", &upload, number, body)))
        .collect();
    client.complete("bkt", "k", &upload, &parts).expect_ok("complete");
    let (whole, len) = (bodies.concat(), bodies.iter().map(Vec::len).sum::<usize>());
    for (range, first, end) in [
        ("0-0".to_owned(), 0, 1),
        (format!("{}-{}", (5 << 20) - 1, 5 << 20), (5 << 20) - 1, (5 << 20) + 1),
        (format!("{}-", len - 1), len - 1, len),
        ("-1".to_owned(), len - 1, len),
        (format!("-{}", len + 10), 0, len),
        (format!("1000-{}", len + 10), 1000, len),
    ] {
        let answer = client.get_range("bkt", "k", &range);
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(
            answer.header("content-range"),
            Some(format!("bytes {first}-{}/{len}", end - 1).as_str()),
            "{range}"
        );
        assert_eq!(answer.header("content-length"), Some((end - first).to_string().as_str()), "{range}");
        assert!(answer.body == whole[first..end], "{range}");
    }
    for range in [format!("{len}-"), format!("{}-{}", len + 5, len + 9), "-0".to_owned()] {
        let answer = client.get_range("bkt", "k", &range);
        answer.expect_error(&range, 416, "InvalidRange");
        assert_eq!(answer.header("content-range"), Some(format!("bytes */{len}").as_str()), "{range}");
    }
    for (number, body) in (1..).zip(&bodies) {
        let part = client.send(&Call::new("GET", "bkt", "k").query("partNumber", number)).unwrap();
        assert_eq!((part.status, part.header("x-amz-mp-parts-count")), (206, Some("2")));
        assert!(part.body == *body, "part {number}");
    }
    let beyond = client.send(&Call::new("GET", "bkt", "k").query("partNumber", 3)).unwrap();
    beyond.expect_error("a part that is not there", 416, "InvalidPartNumber");

    let etag = client.head_object("bkt", "k").header("etag").unwrap().to_owned();
    vault.restart();
    let client = vault.client();
    let resume = |etag: &str| {
        let call = Call::new("GET", "bkt", "k").header("range", format!("bytes={}-", len / 2)).header("if-match", etag);
        client.send(&call).unwrap()
    };
    assert!(resume(&etag).expect_ok("resumed").body == whole[len / 2..]);
    client.put("bkt", "k", b"another object");
    resume(&etag).expect_error("resumed when the object is another", 412, "PreconditionFailed");
}

/// T17: what follows an answer without a body on the same connection is the next answer.
#[test]
fn t17_answers_without_a_body_have_none() {
    let vault = Vault::start_new("T17BARE");
    let client = vault.client();
    client.create_bucket("bkt");
    let etag = client.put("bkt", "k", b"content").header("etag").unwrap().to_owned();
    let stream = TcpStream::connect(("127.0.0.1", client.port)).unwrap();
    let mut reader = BufReader::new(&stream);
    let calls = [
        (Call::new("HEAD", "bkt", "k"), 200),
        (Call::new("HEAD", "bkt", "absent"), 404),
        (Call::new("HEAD", "absent", ""), 404),
        (Call::new("HEAD", "bkt", "k").header("range", "bytes=100-"), 416),
        (Call::new("HEAD", "bkt", "k").header("if-match", "\"another\""), 412),
        (Call::new("GET", "bkt", "k").header("if-none-match", &etag), 304),
        (Call::new("HEAD", "bkt", "k").header("if-none-match", &etag), 304),
        (Call::new("DELETE", "bkt", "absent"), 204),
        (Call::new("GET", "bkt", "k"), 200),
    ];
    for (call, status) in calls {
        let head = String::from_utf8(client.prepare(&call).head).unwrap().replace("connection: close\r\n", "");
        (&stream).write_all(head.as_bytes()).unwrap();
        let answer = read_response(&mut reader, call.method == "HEAD", Sink::Keep).unwrap();
        assert_eq!(answer.status, status, "{} {:?}", call.method, call.headers);
        assert_eq!(reader.buffer(), b"", "{} {:?}: bytes where no body may be", call.method, call.headers);
        if status == 304 {
            assert_eq!(answer.header("etag"), Some(etag.as_str()));
        }
    }
}

/// GET of a path and query, signed for and sent with another Host than the address that it goes to.
fn at_host(client: &Client, host: &str, path: &str, query: &[(&str, &str)]) -> Response {
    let mut call = Call::raw("GET", path, "");
    call.host = Some(host);
    call.query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    client.send(&call).unwrap()
}

/// T18: a request about a bucket that comes under a wrong host never gets the list of buckets as its answer.
#[test]
fn t18_a_bucket_under_a_wrong_host_is_never_answered_with_all_buckets() {
    for domain in ["", "s3.bank.example"] {
        let mut vault = Vault::prepare(if domain.is_empty() { "T18PATH" } else { "T18HOST" });
        vault.set_config(&format!("[s3]\ndomain = {domain:?}\n"));
        vault.start();
        let client = vault.client();
        client.create_bucket("backups");
        client.put("backups", "k", b"content");
        for host in
            ["backups.s3.bank.example", "backups.localhost", "backups.another.example:9000", "BACKUPS.s3.bank.example"]
        {
            for query in [
                &[][..],
                &[("list-type", "2"), ("prefix", "")],
                &[("delimiter", "/")],
                &[("location", "")],
                &[("versioning", "")],
                &[("uploads", "")],
            ] {
                let answer = at_host(&client, host, "", query);
                let (text, what) = (answer.text(), format!("{host} {query:?}, domain {domain:?}"));
                assert!(!text.contains("ListAllMyBucketsResult"), "{what}: {text}");
            }
        }
        if !domain.is_empty() {
            let found =
                at_host(&client, "backups.s3.bank.example", "", &[("list-type", "2")]).expect_ok("the right host");
            assert_eq!(found.xml_all("Key"), ["k"]);
            let got = at_host(&client, "backups.s3.bank.example", "k", &[]).expect_ok("the object");
            assert_eq!(got.body, b"content");
            let absent = at_host(&client, "absent.s3.bank.example", "", &[("list-type", "2")]);
            absent.expect_error("a bucket that is not there", 404, "NoSuchBucket");
        }
        let all = at_host(&client, "s3.bank.example", "", &[]).expect_ok("the domain itself");
        assert_eq!(all.xml_all("Name"), ["backups"]);
    }
}

/// T19: a clock that is off by more than a quarter of an hour is refused by its own code; below, it is not.
#[test]
fn t19_a_clock_too_far_off_is_refused() {
    let vault = Vault::start_new("T19");
    let client = vault.client();
    client.create_bucket("bkt");
    client.put("bkt", "k", b"x");
    for (minutes, good) in
        [(-14, true), (14, true), (-16, false), (16, false), (-60 * 24 * 365, false), (60 * 24 * 365, false)]
    {
        for mode in Mode::GOOD {
            let mut put = Call::new("PUT", "bkt", "new").body(b"body").mode(mode);
            put.skew = minutes * 60;
            let answer = client.send(&put).unwrap();
            if good {
                answer.expect_ok(&format!("{minutes} minutes off, {mode:?}"));
                client.delete("bkt", "new");
            } else {
                answer.expect_error(&format!("{minutes} minutes off, {mode:?}"), 403, "RequestTimeTooSkewed");
            }
        }
    }
    assert_eq!(client.list("bkt", "", 10), ["k"]);
}

/// T24: the answers by which tools find out what there is.
#[test]
fn t24_probes_are_answered_as_tools_expect() {
    let vault = Vault::start_new("T24");
    let root = vault.client();
    root.create_bucket("bkt");
    root.create_bucket("other");
    let client = with_rights(&vault, "bkt", "read,write,delete,list");
    let status = |client: &Client, method: &str, bucket: &str, key: &str| {
        client.send(&Call::new(method, bucket, key)).unwrap().status
    };
    assert_eq!(status(&root, "HEAD", "absent", ""), 404);
    assert_eq!(status(&root, "HEAD", "bkt", ""), 200);
    assert_eq!(status(&client, "HEAD", "bkt", ""), 200);
    assert_eq!(status(&client, "HEAD", "other", ""), 403);
    assert_eq!(status(&client, "HEAD", "other", "k"), 403);
    for target in ["/", "//"] {
        let mut list = Call::raw("GET", "", "");
        list.path = target.to_owned();
        let answer = root.send(&list).unwrap().expect_ok(target);
        assert_eq!(answer.xml_all("Name"), ["bkt", "other"], "{target}");
    }
    let delete = root.prepare(&Call::new("DELETE", "bkt", "absent")).head;
    assert!(!String::from_utf8_lossy(&delete).contains("content-length"), "the request has no length");
    let answer = http::exchange(root.port, &delete, &mut |_| Ok(()), Sink::Keep).unwrap();
    assert_eq!(answer.status, 204);
}
