//! The private API from the other side: what the command line says to a running server.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::socket::{SOCKET_NAME, SocketError, connect};
use crate::types::{
    AccessKey, AuditKey, AuditNote, Bucket, CaseHold, ConfirmKit, Disk, Enabled, MadeAccessKey, NewAccessKey,
    NewCaseHold, NewQuota, NewTenant, Problem, Progress, Report, RetentionClock, Status, Tenant, TrailEnd, VerifyLine,
};

/// Longest answer, or line of an answer, that is kept in memory.
const ANSWER_LEN_MAX: usize = 64 << 20;
/// How long a server may take to begin an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why a server's answer did not come.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket cannot be reached.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The connection broke, most likely because the server stopped.
    #[error("the server's answer on {path} broke off; see its log")]
    Broken {
        /// The socket.
        path: PathBuf,
    },
    /// No answer began in time.
    #[error("the server on {path} did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Late {
        /// The socket.
        path: PathBuf,
    },
    /// The server said no.
    #[error("{error}")]
    Refused {
        /// Its words.
        error: String,
    },
    /// The answer is not one this release knows.
    #[error("the server on {path} is of another release: {detail}")]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// What could not be read.
        detail: String,
    },
}

/// How every entry of the audit trail begins, and the last line of an export does not.
const ENTRY: &str = "{\"n\":";

/// Bytes of an answer that are not a line yet, or were not asked for.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    at: usize,
}

impl Lines {
    /// The next whole line, with its end.
    fn whole(&mut self) -> Option<Vec<u8>> {
        let ahead = self.rest.get(self.at..).unwrap_or_default();
        let Some(end) = ahead.iter().position(|byte| *byte == b'\n') else {
            self.rest.drain(..self.at);
            self.at = 0;
            return None;
        };
        let line = ahead.get(..=end).map(<[u8]>::to_vec);
        self.at += end + 1;
        line
    }
}

/// A server that answered on its socket a moment ago. Every call makes its own connection.
#[derive(Debug, Clone)]
pub struct AdminClient {
    folder: PathBuf,
}

impl AdminClient {
    /// The server of the vault in `folder`, if one answers.
    ///
    /// # Errors
    /// When there is a socket that this user may not open.
    pub async fn find(folder: &Path) -> Result<Option<Self>, ClientError> {
        Ok(connect(folder).await?.map(|_| Self { folder: folder.to_owned() }))
    }

    /// The vault at a glance.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v0/status").await
    }

    /// The disks.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn disks(&self) -> Result<Vec<Disk>, ClientError> {
        self.get("/v0/disks").await
    }

    /// Confirms the recovery kit.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the code opens nothing.
    pub async fn confirm_recovery_kit(&self, code: &str) -> Result<(), ClientError> {
        let body = serde_json::to_vec(&ConfirmKit { code: code.to_owned() }).unwrap_or_default();
        let answer = self.send(Method::POST, "/v0/key/confirm", body).await?;
        self.collect(answer).await.map(|_| ())
    }

    /// Accepts the wall clock as the retention clock's time.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the code opens nothing.
    pub async fn accept_clock(&self, code: &str) -> Result<RetentionClock, ClientError> {
        self.ask(Method::POST, "/v0/clock/accept", &ConfirmKit { code: code.to_owned() }).await
    }

    /// Every bucket with what it holds and may hold.
    ///
    /// # Errors
    /// When the server does not answer so.
    pub async fn buckets(&self) -> Result<Vec<Bucket>, ClientError> {
        self.get("/v0/buckets").await
    }

    /// Sets the quota of a bucket, or takes it away.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such bucket.
    pub async fn set_quota(&self, new: &NewQuota) -> Result<Bucket, ClientError> {
        self.ask(Method::POST, "/v0/buckets/quota", new).await
    }

    /// The case holds of one bucket, or of all.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such bucket.
    pub async fn case_holds(&self, bucket: Option<&str>) -> Result<Vec<CaseHold>, ClientError> {
        let query = bucket.map(|bucket| format!("?bucket={}", percent_encoded(bucket))).unwrap_or_default();
        self.get(&format!("/v0/case-holds{query}")).await
    }

    /// Places a case hold.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such bucket or version.
    pub async fn place_case_hold(&self, new: &NewCaseHold) -> Result<CaseHold, ClientError> {
        self.ask(Method::POST, "/v0/case-holds", new).await
    }

    /// Every tenant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tenants(&self) -> Result<Vec<Tenant>, ClientError> {
        self.get("/v0/tenants").await
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the name is taken or cannot be.
    pub async fn create_tenant(&self, name: &str) -> Result<Tenant, ClientError> {
        self.ask(Method::POST, "/v0/tenants", &NewTenant { name: name.to_owned() }).await
    }

    /// Every access key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, ClientError> {
        self.get("/v0/access-keys").await
    }

    /// Makes an access key.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such tenant or the grant says nothing.
    pub async fn create_access_key(&self, new: &NewAccessKey) -> Result<MadeAccessKey, ClientError> {
        self.ask(Method::POST, "/v0/access-keys", new).await
    }

    /// Has requests with an access key taken or refused.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such key.
    pub async fn set_access_key_enabled(&self, access_key: &str, enabled: bool) -> Result<(), ClientError> {
        let path = format!("/v0/access-keys/{}", percent_encoded(access_key));
        self.ask::<Enabled>(Method::PUT, &path, &Enabled { enabled }).await.map(|_| ())
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when there is no such key.
    pub async fn remove_access_key(&self, access_key: &str) -> Result<(), ClientError> {
        let path = format!("/v0/access-keys/{}", percent_encoded(access_key));
        let answer = self.send(Method::DELETE, &path, Vec::new()).await?;
        self.collect(answer).await.map(|_| ())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = self.send(method, path, serde_json::to_vec(body).unwrap_or_default()).await?;
        let bytes = self.collect(answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(&error.to_string()))
    }

    /// Verifies the vault or one bucket, telling progress as it comes. Dropping the future stops it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it could not run; damage found is part of the report.
    pub async fn verify(&self, bucket: Option<&str>, mut on: impl FnMut(Progress)) -> Result<Report, ClientError> {
        let path = match bucket {
            None => "/v0/verify".to_owned(),
            Some(bucket) => format!("/v0/verify?bucket={}", percent_encoded(bucket)),
        };
        let mut answer = self.send(Method::POST, &path, Vec::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        let mut lines = Lines::default();
        while let Some(line) = self.line(&mut answer, &mut lines).await? {
            match serde_json::from_slice(&line).map_err(|error| self.foreign(&error.to_string()))? {
                VerifyLine::Progress(progress) => on(progress),
                VerifyLine::Report(report) => return Ok(report),
                VerifyLine::Error(error) => return Err(ClientError::Refused { error }),
            }
        }
        Err(self.broken())
    }

    /// Reads the audit trail: `on` gets every entry, as a line of an export without its end of line, and may break off. The number of entries;
    /// `None` when it broke off.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when it cannot be read, or is not the one that the index went by.
    pub async fn export_audit(&self, mut on: impl FnMut(&str) -> ControlFlow<()>) -> Result<Option<u64>, ClientError> {
        let mut answer = self.send(Method::GET, "/v0/audit/export", Vec::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        let mut lines = Lines::default();
        while let Some(line) = self.line(&mut answer, &mut lines).await? {
            let line = std::str::from_utf8(&line).map_err(|error| self.foreign(&error.to_string()))?.trim_end();
            if line.starts_with(ENTRY) {
                if on(line).is_break() {
                    return Ok(None);
                }
                continue;
            }
            return match serde_json::from_str(line).map_err(|error| self.foreign(&error.to_string()))? {
                TrailEnd::End(entries) => Ok(Some(entries)),
                TrailEnd::Error(error) => Err(ClientError::Refused { error }),
            };
        }
        Err(self.broken())
    }

    /// The head of the audit trail as a signed note.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_checkpoint(&self) -> Result<String, ClientError> {
        self.get::<AuditNote>("/v0/audit/checkpoint").await.map(|answer| answer.note)
    }

    /// The public key that signed notes are verified with.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_key(&self) -> Result<String, ClientError> {
        self.get::<AuditKey>("/v0/audit/key").await.map(|answer| answer.key)
    }

    /// The next line of an answer that streams them, with its end; `None` behind the last.
    async fn line(&self, answer: &mut Response<Incoming>, lines: &mut Lines) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(line) = lines.whole() {
                return Ok(Some(line));
            }
            if lines.rest.len() > ANSWER_LEN_MAX {
                return Err(self.foreign("a line without an end"));
            }
            let Some(frame) = answer.body_mut().frame().await else { return Ok(None) };
            let frame = frame.map_err(|_| self.broken())?;
            lines.rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Method::GET, path, Vec::new()).await?;
        let bytes = self.collect(answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(&error.to_string()))
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Incoming>, ClientError> {
        let stream = connect(&self.folder).await?.ok_or_else(|| self.broken())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| self.broken())?;
        // Ends by itself when the answer is read or dropped.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "kovcheg")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.foreign(&error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER_WITHIN, sender.send_request(request)).await;
        answer.map_err(|_| ClientError::Late { path: self.path() })?.map_err(|_| self.broken())
    }

    async fn collect(&self, answer: Response<Incoming>) -> Result<Bytes, ClientError> {
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        self.bytes(answer).await
    }

    async fn bytes(&self, answer: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = http_body_util::Limited::new(answer.into_body(), ANSWER_LEN_MAX);
        body.collect().await.map(http_body_util::Collected::to_bytes).map_err(|_| self.broken())
    }

    async fn refusal(&self, answer: Response<Incoming>) -> ClientError {
        let status = answer.status();
        match self.bytes(answer).await {
            Err(error) => error,
            Ok(bytes) => match serde_json::from_slice::<Problem>(&bytes) {
                Ok(problem) => ClientError::Refused { error: problem.error },
                Err(_) => self.foreign(&format!("status {status}")),
            },
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(SOCKET_NAME)
    }

    fn broken(&self) -> ClientError {
        ClientError::Broken { path: self.path() }
    }

    fn foreign(&self, detail: &str) -> ClientError {
        ClientError::Foreign { path: self.path(), detail: detail.to_owned() }
    }
}

/// RFC 3986 unreserved characters stay, every other byte becomes `%XX`.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
