//! The command line: one file per command. Results go to stdout, everything else to stderr.

mod access_key;
mod audit;
mod bucket;
mod clock;
mod hold;
mod inspect;
mod key;
mod place;
mod prompt;
mod rebuild;
mod serve;
mod show;
mod status;
mod tenant;
mod tls;
mod verify;

use clap::{Parser, Subcommand};

use crate::config::LogSection;
use crate::error::{AppError, Outcome};
use crate::telemetry;

/// A backup vault: S3 in, deduplicated, encrypted and erasure-coded onto local disks.
#[derive(Parser)]
#[command(name = "kovcheg", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, nothing wrong was found
  1  done, damage was found (verify, inspect) or somebody is needed (status --check)
  2  could not run; the reason is on stderr

Beside a running server, commands talk to DIR/admin.sock; without one they take the vault's exclusive lock.";

#[derive(Subcommand)]
enum Command {
    /// Serve the vault over S3 until SIGTERM or SIGINT
    Serve(serve::ServeArguments),
    /// Show the vault at a glance
    Status(status::StatusArguments),
    /// Disks of the vault
    #[command(subcommand)]
    Disk(DiskCommand),
    /// Open and hash everything, and mend what can be mended
    Verify(verify::VerifyArguments),
    /// Rebuild the index from the data disks alone (no server may run)
    RebuildIndex(rebuild::RebuildArguments),
    /// Look into a file of a data disk without opening the vault
    Inspect(inspect::InspectArguments),
    /// The root key and its recovery kit
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// The retention clock, by which locks expire
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// The audit trail: who did what, and proof of it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Buckets: what they hold and may hold
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    /// Case holds: what must stay for a case
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Tenants: who has buckets of their own
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// S3 access keys of tenants
    #[command(subcommand)]
    AccessKey(access_key::AccessKeyCommand),
    /// Certificates of the S3 endpoint
    #[command(subcommand)]
    Tls(tls::TlsCommand),
}

#[derive(Subcommand)]
enum DiskCommand {
    /// List the disks with their state and space
    #[command(after_help = status::DISK_EXAMPLES)]
    List(place::Asking),
}

/// Runs one command.
///
/// # Errors
/// [`AppError`] when it could not do what it was asked to.
pub fn run(arguments: Arguments) -> Result<Outcome, AppError> {
    if let Command::Serve(arguments) = arguments.command {
        return serve::run(&arguments);
    }
    // Offline commands open the engine, whose warnings belong on stderr; the rest would drown the answer.
    telemetry::start_logs(&LogSection { level: "warn".to_owned(), ..LogSection::default() })?;
    match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Disk(DiskCommand::List(arguments)) => status::disks(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::RebuildIndex(arguments) => rebuild::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Key(command) => key::run(&command),
        Command::Clock(command) => clock::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Bucket(command) => bucket::run(&command),
        Command::Hold(command) => hold::run(&command),
        Command::Tenant(command) => tenant::run(&command),
        Command::AccessKey(command) => access_key::run(&command),
        Command::Tls(command) => tls::run(&command),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Arguments;
    use clap::{CommandFactory as _, Parser as _};

    fn parses(line: &str) -> bool {
        Arguments::try_parse_from(line.split_whitespace()).is_ok()
    }

    #[test]
    fn fixed_names_stay() {
        // Goal: other things start the vault with these words; they must keep parsing.
        for line in [
            "kovcheg serve",
            "kovcheg serve --config c.toml --data d --s3-listen 127.0.0.1:9000 --admin-listen 127.0.0.1:9001",
            "kovcheg serve --allow-plain-http",
            "kovcheg serve --tls-cert c --tls-key k",
            "kovcheg tls self-signed --name a --name 10.0.0.1 --out d --days 30 --replace --json",
            "kovcheg status --data d --json",
            "kovcheg disk list --data d --json",
            "kovcheg verify --bucket b --data d --json",
            "kovcheg rebuild-index --config c --json",
            "kovcheg inspect disk0/superblock --json",
            "kovcheg key recover --data d --code X",
            "kovcheg key confirm --data d --code X --json",
            "kovcheg clock status --data d --check --json",
            "kovcheg clock accept --data d --code X --json",
            "kovcheg audit list --last 5 --bucket b --actor a --kind Denied --denied --json --data d",
            "kovcheg audit export --output f --data d",
            "kovcheg audit checkpoint --output f",
            "kovcheg audit checkpoint --json",
            "kovcheg audit key --data d --json",
            "kovcheg audit verify f --checkpoint a --checkpoint b --key k --json",
            "kovcheg audit verify --proof p --checkpoint a --key k",
            "kovcheg audit prove f --entry 7 --size 9",
            "kovcheg audit prove f --from 7",
            "kovcheg hold place --case 7 --bucket b --data d --json",
            "kovcheg hold place --case 7 --bucket b --prefix p/ --note n",
            "kovcheg hold place --case 7 --bucket b --tag a=b",
            "kovcheg hold place --case 7 --bucket b --key k --version null",
            "kovcheg hold list --bucket b --data d --json",
            "kovcheg bucket list --data d --json",
            "kovcheg bucket quota b --bytes 5GiB --data d --json",
            "kovcheg bucket quota b --none",
            "kovcheg tenant create accounting --data d --json",
            "kovcheg tenant list --json",
            "kovcheg access-key create --tenant t --bucket a --bucket b* --allow read,list --note n --json",
            "kovcheg access-key list --json",
            "kovcheg access-key disable K --data d",
            "kovcheg access-key enable K",
            "kovcheg access-key delete K --json",
        ] {
            assert!(parses(line), "{line}");
        }
        for line in [
            "kovcheg",
            "kovcheg serve --s3-listen nowhere",
            "kovcheg inspect",
            "kovcheg disk",
            "kovcheg serve x",
            "kovcheg serve --tls-cert c",
            "kovcheg access-key create",
            "kovcheg tenant create",
            "kovcheg audit verify",
            "kovcheg audit verify f --checkpoint a",
            "kovcheg audit verify --proof p",
            "kovcheg audit prove f",
            "kovcheg bucket quota b",
            "kovcheg bucket quota b --bytes 5GiB --none",
            "kovcheg bucket quota b --bytes much",
            "kovcheg hold place --case 7",
            "kovcheg hold place --case 7 --bucket b --prefix p --key k",
            "kovcheg hold place --case 7 --bucket b --tag nothing",
            "kovcheg hold place --case 7 --bucket b --version null",
        ] {
            assert!(!parses(line), "{line}");
        }
    }

    #[test]
    fn every_command_has_examples_and_help_for_every_option() {
        let mut queue = vec![Arguments::command()];
        while let Some(command) = queue.pop() {
            let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
            let name = command.get_name().to_owned();
            if subcommands.is_empty() && name != "help" {
                let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(examples.contains("Examples:"), "{name} has no examples");
            }
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
            }
            queue.extend(subcommands);
        }
        Arguments::command().debug_assert();
    }
}
