//! Goal: tags are set, shown, replaced and taken away of the version that is named, locked or not, and outlive the index; attributes are those
//! of the object. Method: each operation over S3, rightly and wrongly.

use crate::support::s3::{Call, Client, Response};
use crate::support::vault::Vault;

fn tag(client: &Client, method: &str, key: &str, document: &str) -> Response {
    let call = Call::new(method, "bkt", key).query("tagging", "");
    client.send(&if document.is_empty() { call } else { call.body(document.as_bytes()) }).unwrap()
}

fn document(tags: &[(&str, &str)]) -> String {
    let each = |(name, value): &(&str, &str)| format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>");
    format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.iter().map(each).collect::<String>())
}

#[test]
fn tags_are_set_after_the_put() {
    let mut vault = Vault::start_new("TAGS");
    let client = vault.client();
    let locked = Call::new("PUT", "bkt", "").header("x-amz-bucket-object-lock-enabled", "true");
    client.send(&locked).unwrap().expect_ok("bucket");
    let put = Call::new("PUT", "bkt", "k").body(b"x").header("x-amz-tagging", "first=1");
    client.send(&put.header("x-amz-object-lock-legal-hold", "ON")).unwrap().expect_ok("put");
    assert_eq!(tag(&client, "GET", "k", "").expect_ok("shown").xml("Value").as_deref(), Some("1"));
    tag(&client, "PUT", "k", &document(&[("система", "ledger"), ("b", "")])).expect_ok("under a hold");
    vault.kill();
    std::fs::remove_dir_all(vault.index()).unwrap();
    vault.start();
    let client = vault.client();
    let shown = tag(&client, "GET", "k", "").expect_ok("shown");
    assert_eq!(
        (shown.xml_all("Key"), shown.xml_all("Value")),
        (vec!["система".into(), "b".into()], vec!["ledger".into(), String::new()])
    );
    assert_eq!(client.head_object("bkt", "k").header("x-amz-tagging-count"), Some("2"));
    let names: Vec<String> = (0..11).map(|number| format!("n{number}")).collect();
    let eleven: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let long = "x".repeat(257);
    for (wrong, code) in [
        (document(&eleven), "InvalidTag"),
        (document(&[("a", "1"), ("a", "2")]), "InvalidTag"),
        (document(&[("", "1")]), "InvalidTag"),
        (document(&[("a", &long)]), "InvalidTag"),
        ("<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>".to_owned(), "MalformedXML"),
        ("<Tagging>".to_owned(), "MalformedXML"),
    ] {
        tag(&client, "PUT", "k", &wrong).expect_error(&wrong, 400, code);
    }
    tag(&client, "PUT", "absent", &document(&[("a", "1")])).expect_error("absent", 404, "NoSuchKey");
    assert_eq!(tag(&client, "GET", "k", "").xml_all("Key").len(), 2, "nothing wrong changed them");
    assert_eq!(tag(&client, "DELETE", "k", "").status, 204);
    assert!(tag(&client, "GET", "k", "").expect_ok("none").xml_all("Key").is_empty());
}

#[test]
fn attributes_are_those_of_the_object() {
    let vault = Vault::start_new("ATTRIBUTES");
    let client = vault.client();
    client.create_bucket("bkt");
    let etag = client.put("bkt", "k", b"content").header("etag").unwrap().trim_matches('"').to_owned();
    let ask = |key: &str, wanted: &str| {
        let call = Call::new("GET", "bkt", key).query("attributes", "").header("x-amz-object-attributes", wanted);
        client.send(&call).unwrap()
    };
    let all = ask("k", "ETag,Checksum,ObjectParts,StorageClass,ObjectSize").expect_ok("all");
    assert_eq!(all.xml("ETag").unwrap().trim_matches('"').replace("&quot;", ""), etag);
    assert_eq!((all.xml("ObjectSize").as_deref(), all.xml("StorageClass").as_deref()), (Some("7"), Some("STANDARD")));
    assert!(all.xml("ChecksumCRC64NVME").is_some() && !all.text().contains("ObjectParts"), "{}", all.text());
    let one = ask("k", "ObjectSize").expect_ok("one");
    assert!(one.xml("ETag").is_none() && one.xml("ObjectSize").is_some(), "{}", one.text());
    let upload = client.create_upload("bkt", "parts");
    let parts: Vec<(u32, String)> = [(3, vec![1; 5 << 20]), (7, vec![2; 10])]
        .iter()
        .map(|(number, body)| (*number, client.upload_part("bkt", "parts", &upload, *number, body)))
        .collect();
    client.complete("bkt", "parts", &upload, &parts).expect_ok("complete");
    let shown = ask("parts", "ObjectParts").expect_ok("parts");
    assert_eq!(
        (shown.xml_all("PartNumber"), shown.xml_all("Size")),
        (vec!["3".into(), "7".into()], vec!["5242880".into(), "10".into()])
    );
    ask("k", "Everything").expect_error("no attribute", 400, "InvalidArgument");
    ask("absent", "ETag").expect_error("absent", 404, "NoSuchKey");
}
