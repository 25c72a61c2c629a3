//! Goal: the backup tools that speak S3 work with one changed endpoint: backup, verification, pruning, restore byte for byte, and after
//! an upload that SIGKILL cut off. Method: the distribution's restic, rclone, s3cmd and duplicity, and minio-py, as
//! their users run them, in lines of shell.

use crate::support::vault::Vault;
use crate::user::User;

/// A tree with what tools get wrong: empty, large, many, and names with spaces, pluses and other alphabets.
pub const TREE: &str = r#"
mkdir -p src/sub/deep src/empty-folder
head -c 24000000 /dev/urandom > src/big
head -c 70000 /dev/urandom > 'src/a+b %20 & ы'
: > src/sub/empty
for n in $(seq 1 150); do echo "file $n" > src/sub/deep/$n; done
head -c 120000000 /dev/urandom > huge
"#;

/// Runs a command and kills it in the middle of its work.
pub const CUT_OFF: &str = r#"
cut_off() { # cut_off COMMAND...
    "$@" >/dev/null 2>&1 &
    local pid=$!
    sleep 0.7
    kill -KILL $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
}
"#;

/// restic's part of the job.
pub const RESTIC: &str = r#"
export RESTIC_REPOSITORY=s3:$AWS_ENDPOINT_URL/restic RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$HOME/cache
restic init -q
restic backup -q src
echo more >> src/sub/deep/1
cut_off restic backup -q src huge
restic unlock -q
restic backup -q src
restic check -q --read-data
restic forget -q --keep-last 1 --prune
restic check -q --read-data
restic snapshots --json | grep -q '"paths"'
restic restore -q latest --target out
diff -r src out/src
"#;

fn play(name: &str, script: &str) {
    let vault = Vault::start_new(name);
    let mut user = User::of(&vault);
    user.set("PORT", vault.s3_port().to_string());
    println!("{}", String::from_utf8_lossy(&user.shell(&[TREE, CUT_OFF, script].concat())));
    // Whatever the tool left: everything in the vault is whole.
    let verified = vault.cli(&["verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn restic() {
    play("RESTIC", RESTIC);
}

/// What restic removes, its locks among it, becomes versions under markers; nothing else changes for it.
#[test]
fn restic_in_a_locked_bucket() {
    let vault = Vault::start_new("RESTICLOCKED");
    let user = User::of(&vault);
    user.run(&["s3api", "create-bucket", "--bucket", "restic", "--object-lock-enabled-for-bucket"]);
    let rule = r#"{"ObjectLockEnabled":"Enabled","Rule":{"DefaultRetention":{"Mode":"COMPLIANCE","Days":30}}}"#;
    let configure = ["s3api", "put-object-lock-configuration", "--bucket", "restic", "--object-lock-configuration"];
    user.run(&[&configure[..], &[rule]].concat());
    user.shell(&[TREE, CUT_OFF, RESTIC].concat());
    let removed =
        user.json(&["s3api", "list-object-versions", "--bucket", "restic", "--query", "length(DeleteMarkers)"]);
    assert!(removed.as_u64().is_some_and(|markers| markers > 0), "nothing was removed: {removed}");
}

#[test]
fn rclone() {
    play(
        "RCLONE",
        r#"
export RCLONE_CONFIG=$HOME/rclone.conf
printf '[kv]\ntype = s3\nprovider = Other\nenv_auth = true\nendpoint = %s\n' "$AWS_ENDPOINT_URL" > "$RCLONE_CONFIG"
rclone mkdir kv:rclone
rclone sync -q src kv:rclone/tree
cut_off rclone copy -q huge kv:rclone/cut
test -z "$(rclone lsf kv:rclone/cut)"   # nothing is there but what was completed
rclone copy -q huge kv:rclone/whole
rclone check -q --download src kv:rclone/tree
rclone rcat kv:rclone/stream < huge
rclone cat kv:rclone/stream | cmp - huge
rclone cat --offset 1000 --count 500 kv:rclone/stream | cmp - <(tail -c +1001 huge | head -c 500)
echo more >> src/sub/deep/1; rm src/sub/deep/2
rclone sync -q src kv:rclone/tree       # prunes what is gone
rclone touch kv:rclone/tree/big         # a copy onto itself
rclone copyto kv:rclone/tree/big kv:rclone/copy
rclone moveto kv:rclone/copy kv:rclone/moved/big
rclone sync -q kv:rclone/tree out
diff -r src out --exclude empty-folder
cmp <(rclone cat kv:rclone/moved/big) src/big
rclone cleanup kv:rclone                # lists uploads that were cut off
rclone purge kv:rclone/tree
test "$(rclone lsf -R --files-only kv:rclone | sort | tr '\n' ' ')" = 'moved/big stream whole/huge '
"#,
    );
}

#[test]
fn s3cmd() {
    play(
        "S3CMD",
        r#"
printf '[default]\naccess_key = %s\nsecret_key = %s\nhost_base = 127.0.0.1:%s\nhost_bucket = 127.0.0.1:%s\nuse_https = False\n' \
    "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$PORT" "$PORT" > s3cfg
s3() { s3cmd -c "$HOME/s3cfg" -q "$@"; }
loud() { s3cmd -c "$HOME/s3cfg" "$@"; }
s3 mb s3://bucket
s3 sync src/ s3://bucket/tree/
cut_off s3cmd -c "$HOME/s3cfg" -q put huge s3://bucket/cut
test -z "$(loud ls s3://bucket/cut)"
s3 put huge s3://bucket/cut
echo more >> src/sub/deep/1; rm src/sub/deep/2
s3 sync --delete-removed src/ s3://bucket/tree/
mkdir out
s3 sync s3://bucket/tree/ out/
diff -r src out --exclude empty-folder
loud info s3://bucket/tree/big | grep 'MD5 sum'
loud info s3://bucket | grep 'Location:  us-east-1'
s3 cp s3://bucket/tree/big s3://bucket/copy
s3 mv s3://bucket/copy s3://bucket/moved
s3 get s3://bucket/moved moved && cmp moved src/big
s3 get s3://bucket/cut whole && cmp whole huge
s3 del -r -f s3://bucket/tree/
test "$(loud ls -r s3://bucket | wc -l)" = 2
# A bucket with an open upload is not empty: what was cut off is thrown away first.
loud multipart s3://bucket | awk '$2 ~ /^s3:/ { print $2, $3 }' | while read -r url id; do s3 abortmp "$url" "$id"; done
s3 rb -r -f s3://bucket
"#,
    );
}

#[test]
fn duplicity() {
    play(
        "DUPLICITY",
        r#"
export PASSPHRASE=x GNUPGHOME=$HOME/gnupg
mkdir -m 700 "$GNUPGHOME"
aws s3 mb s3://duplicity
# Its Python is the distribution's, and so must be what it finds there.
PATH=/usr/bin:/bin
dup() { duplicity --archive-dir "$HOME/archive" --s3-endpoint-url "$AWS_ENDPOINT_URL" --s3-region-name us-east-1 "$@"; }
url=boto3+s3://duplicity/here
dup full src $url
echo more >> src/sub/deep/1
dup incr src $url
dup verify --compare-data $url src
cut_off duplicity --archive-dir "$HOME/archive" --s3-endpoint-url "$AWS_ENDPOINT_URL" --s3-region-name us-east-1 full src $url
rm -rf "$HOME/archive"
dup cleanup --force $url
dup full src $url
dup remove-all-but-n-full 1 --force $url
dup restore $url out
diff -r src out
"#,
    );
}

#[test]
fn minio_py() {
    let vault = Vault::start_new("MINIOPY");
    User::of(&vault).script("minio_py.py", &[]);
    assert!(vault.cli(&["verify"]).status.success());
}
