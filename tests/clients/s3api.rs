//! Goal: single operations of S3 answer awscli as AWS does. Method: `aws s3api`: heads, ranges, conditions, pages of a listing
//! and of parts, uploads completed and aborted.

use crate::support::data;
use crate::support::seed;
use crate::support::vault::Vault;
use crate::user::User;

/// Bytes of a part: the least that S3 allows.
const PART: usize = 5 << 20;

fn strings(json: &serde_json::Value) -> Vec<&str> {
    json.as_array().map(|all| all.iter().filter_map(serde_json::Value::as_str).collect()).unwrap_or_default()
}

#[test]
fn heads_and_ranges() {
    let mut rng = seed::rng("heads_and_ranges");
    let vault = Vault::start_new("AWSAPI");
    let user = User::of(&vault);
    let content = data::random(rng.next(), 3_000_000);
    user.file("body", &content);
    user.run(&["s3api", "create-bucket", "--bucket", "bkt"]);
    let object = ["--bucket", "bkt", "--key", "o"];
    let put =
        ["s3api", "put-object", "--body", "body", "--content-type", "application/x-test", "--metadata", "who=me,n=1"];
    let put = user.json(&[&put[..], &object].concat());
    let head = user.json(&[&["s3api", "head-object"][..], &object].concat());
    assert_eq!(head["ETag"], put["ETag"]);
    assert_eq!(head["ContentLength"], 3_000_000);
    assert_eq!(head["ContentType"], "application/x-test");
    assert_eq!(head["Metadata"], serde_json::json!({"who": "me", "n": "1"}));
    assert_eq!(head["AcceptRanges"], "bytes");
    let get = |range: &str| {
        let got = user.json(&[&["s3api", "get-object", "--range", range][..], &object, &["out"]].concat());
        (got["ContentRange"].as_str().unwrap_or_default().to_owned(), user.read("out"))
    };
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=65530-262150", 65_530, 262_151),
        ("bytes=2999999-", 2_999_999, 3_000_000),
        ("bytes=1000-99999999", 1_000, 3_000_000),
        ("bytes=-7", 2_999_993, 3_000_000),
    ] {
        let (told, body) = get(range);
        assert_eq!(told, format!("bytes {start}-{}/3000000", end - 1), "{range}");
        assert!(body == content[start..end], "{range}");
    }
    let beyond = [&["s3api", "get-object", "--range", "bytes=3000000-"][..], &object, &["out"]].concat();
    user.fails(&beyond, &["InvalidRange"]);
    let etag = put["ETag"].as_str().unwrap();
    let unchanged = [&["s3api", "get-object", "--if-none-match", etag][..], &object, &["out"]].concat();
    user.fails(&unchanged, &["304"]);
    let other = [&["s3api", "get-object", "--if-match", "\"0f\""][..], &object, &["out"]].concat();
    user.fails(&other, &["PreconditionFailed"]);
    let twice = [&["s3api", "put-object", "--body", "body", "--if-none-match", "*"][..], &object].concat();
    user.fails(&twice, &["PreconditionFailed"]);
    user.fails(&["s3api", "head-object", "--bucket", "bkt", "--key", "nothing"], &["404"]);
    user.fails(&["s3api", "get-object", "--bucket", "bkt", "--key", "nothing", "out"], &["NoSuchKey"]);
}

#[test]
fn listings_come_in_pages() {
    let vault = Vault::start_new("AWSPAGES");
    let user = User::of(&vault);
    let client = vault.client();
    client.create_bucket("bkt");
    let mut keys: Vec<String> = (0..1_203).map(|n| format!("dir {:02}/key+{n:04}%", n % 24)).collect();
    std::thread::scope(|scope| {
        for part in keys.chunks(keys.len() / 8 + 1) {
            scope.spawn(|| part.iter().for_each(|key| drop(client.put("bkt", key, key.as_bytes()))));
        }
    });
    keys.sort();
    let list = ["s3api", "list-objects-v2", "--bucket", "bkt"];
    let names = ["--query", "Contents[].Key"];
    for page in ["1000", "100", "7"] {
        let all = user.json(&[&list[..], &["--page-size", page], &names].concat());
        assert!(strings(&all) == keys, "pages of {page}: {} keys", strings(&all).len());
    }
    let mut found: Vec<String> = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut call = [&list[..], &["--max-items", "500"]].concat();
        call.extend(token.iter().flat_map(|token| ["--starting-token", token]));
        let page = user.json(&call);
        let contents = page["Contents"].as_array().unwrap();
        found.extend(contents.iter().map(|object| object["Key"].as_str().unwrap().to_owned()));
        token = page["NextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert!(found == keys, "{} keys through three pages", found.len());
    let by_folder = user.json(&[&list[..], &["--delimiter", "/", "--query", "CommonPrefixes[].Prefix"]].concat());
    let folders: Vec<String> = (0..24).map(|n| format!("dir {n:02}/")).collect();
    assert_eq!(strings(&by_folder), folders);
    let after =
        user.json(&[&list[..], &["--prefix", "dir 03/", "--start-after", &keys[200], names[0], names[1]]].concat());
    let expected: Vec<&String> = keys.iter().filter(|key| key.starts_with("dir 03/") && **key > keys[200]).collect();
    assert_eq!(strings(&after), expected);
    let v1 = user.json(&["s3api", "list-objects", "--bucket", "bkt", "--page-size", "400", names[0], names[1]]);
    assert!(strings(&v1) == keys, "ListObjects of the first version");
}

#[test]
fn parts_are_listed_completed_and_aborted() {
    let mut rng = seed::rng("parts_are_listed_completed_and_aborted");
    let vault = Vault::start_new("AWSPARTS");
    let user = User::of(&vault);
    user.run(&["s3", "mb", "s3://bkt"]);
    let object = ["--bucket", "bkt", "--key", "an upload+1"];
    let begin = || {
        let made = user.json(&[&["s3api", "create-multipart-upload"][..], &object].concat());
        made["UploadId"].as_str().unwrap().to_owned()
    };
    let (kept, dropped) = (begin(), begin());
    let open = || {
        let listed = user.json(&["s3api", "list-multipart-uploads", "--bucket", "bkt", "--page-size", "1"]);
        let of = |upload: &serde_json::Value| (upload["Key"].clone(), upload["UploadId"].as_str().unwrap().to_owned());
        listed["Uploads"].as_array().map(|uploads| uploads.iter().map(of).collect::<Vec<_>>()).unwrap_or_default()
    };
    let key = || serde_json::json!("an upload+1");
    assert_eq!(open(), [(key(), kept.clone()), (key(), dropped.clone())], "as they were begun");
    let bodies: Vec<Vec<u8>> = [PART, PART, 1_234].map(|len| data::random(rng.next(), len)).to_vec();
    let mut named = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        user.file("part", body);
        let number = number.to_string();
        let of = |upload| ["s3api", "upload-part", "--body", "part", "--part-number", &number, "--upload-id", upload];
        let part = user.json(&[&of(&kept)[..], &object].concat());
        named.push(serde_json::json!({"PartNumber": number.parse::<u32>().unwrap(), "ETag": part["ETag"]}));
        if number == "1" {
            user.json(&[&of(&dropped)[..], &object].concat());
        }
    }
    let list = |upload| [&["s3api", "list-parts", "--upload-id", upload][..], &object].concat();
    let parts = user.json(&[&list(&kept)[..], &["--page-size", "1"]].concat());
    let sizes: Vec<_> = parts["Parts"].as_array().unwrap().iter().map(|part| part["Size"].as_u64().unwrap()).collect();
    assert_eq!(sizes, bodies.iter().map(|body| body.len() as u64).collect::<Vec<_>>(), "{parts}");
    user.run(&[&["s3api", "abort-multipart-upload", "--upload-id", &dropped][..], &object].concat());
    user.fails(&list(&dropped), &["NoSuchUpload"]);
    assert_eq!(open(), [(key(), kept.clone())], "the aborted one is gone");
    assert!(vault.client().list("bkt", "", 10).is_empty(), "an open upload is not an object");
    let manifest = serde_json::json!({ "Parts": named }).to_string();
    let complete = ["s3api", "complete-multipart-upload", "--upload-id", &kept, "--multipart-upload", &manifest];
    let done = user.json(&[&complete[..], &object].concat());
    assert!(done["ETag"].as_str().unwrap().contains("-3"), "{done}");
    user.fails(&list(&kept), &["NoSuchUpload"]);
    assert!(vault.client().get("bkt", "an upload+1") == bodies.concat());
    let second = [&["s3api", "get-object", "--part-number", "2"][..], &object, &["out"]].concat();
    assert_eq!(user.json(&second)["PartsCount"], 3);
    assert!(user.read("out") == bodies[1], "the second part by its number");
}
