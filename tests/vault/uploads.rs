//! Goal: no upload is ever out of sight: `ListMultipartUploads` finds every open one, so that its bucket can be emptied. Method:
//! uploads of several keys, listed in pages of every size, with prefix and delimiter, over a restart; then aborted by the list alone.

use crate::support::s3::{Call, Client, Response};
use crate::support::vault::Vault;

type Found = Vec<(String, String)>;

fn page(client: &Client, query: &[(&str, &str)]) -> Response {
    let mut call = Call::new("GET", "bkt", "").query("uploads", "");
    for (name, value) in query {
        call = call.query(name, value);
    }
    client.send(&call).unwrap().expect_ok("list uploads")
}

fn found(page: &Response) -> Found {
    page.xml_all("Key").into_iter().zip(page.xml_all("UploadId")).collect()
}

fn all(client: &Client, max: &str) -> Found {
    let mut uploads = Vec::new();
    let (mut key, mut id) = (String::new(), String::new());
    loop {
        let page = page(client, &[("max-uploads", max), ("key-marker", &key), ("upload-id-marker", &id)]);
        uploads.extend(found(&page));
        if page.xml("IsTruncated").as_deref() != Some("true") {
            return uploads;
        }
        key = page.xml("NextKeyMarker").expect("a marker");
        id = page.xml("NextUploadIdMarker").unwrap_or_default();
    }
}

#[test]
fn every_open_upload_is_listed_and_its_bucket_can_be_emptied() {
    let mut vault = Vault::start_new("UPLOADS");
    let client = vault.client();
    client.create_bucket("bkt");
    client.create_bucket("other");
    client.create_upload("other", "elsewhere");
    // Keys in an order of their own; those of one key as they were begun.
    let mut begun: Found = ["b", "a/1", "b", "a/2", "a b", "b", "я"]
        .into_iter()
        .map(|key| (key.to_owned(), client.create_upload("bkt", key)))
        .collect();
    let done = client.create_upload("bkt", "done");
    let etag = client.upload_part("bkt", "done", &done, 1, b"x");
    client.complete("bkt", "done", &done, &[(1, etag)]).expect_ok("complete");
    begun.sort_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
    vault.restart();
    let client = vault.client();
    for max in ["1", "2", "3", "1000"] {
        assert_eq!(all(&client, max), begun, "pages of {max}");
    }

    let below = page(&client, &[("prefix", "a"), ("delimiter", "/")]);
    assert_eq!(found(&below).iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a b"]);
    assert!(below.text().contains("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"), "{}", below.text());
    let url = page(&client, &[("prefix", "a b"), ("encoding-type", "url")]);
    assert_eq!(url.xml_all("Key"), ["a%20b"]);
    assert!(url.xml("Initiated").is_some_and(|time| time.ends_with('Z')), "{}", url.text());
    assert!(found(&page(&client, &[("max-uploads", "0")])).is_empty());
    let behind = page(&client, &[("key-marker", "b")]);
    assert_eq!(behind.xml_all("Key"), ["я"], "behind all uploads of a key");
    for (name, value) in [("max-uploads", "-1"), ("upload-id-marker", "nonsense"), ("encoding-type", "html")] {
        let call = Call::new("GET", "bkt", "").query("uploads", "").query("key-marker", "a").query(name, value);
        client.send(&call).unwrap().expect_error(name, 400, "InvalidArgument");
    }
    let nobody = Call::new("GET", "no-bucket", "").query("uploads", "");
    client.send(&nobody).unwrap().expect_error("no bucket", 404, "NoSuchBucket");

    client.delete("bkt", "done");
    let refused = client.send(&Call::new("DELETE", "bkt", "")).unwrap();
    refused.expect_error("a bucket with open uploads", 409, "BucketNotEmpty");
    for (key, upload) in all(&client, "2") {
        let abort = Call::new("DELETE", "bkt", &key).query("uploadId", upload);
        client.send(&abort).unwrap().expect_ok("abort");
    }
    assert!(all(&client, "2").is_empty());
    client.send(&Call::new("DELETE", "bkt", "")).unwrap().expect_ok("the bucket is empty");
}
