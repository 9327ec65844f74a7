//! A small HTTP server before the real schema registry: it passes questions on, or does what a registry that works does not,
//! and what this one cannot (credentials, GUIDs).

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use host::schema::framing::Guid;
use serde_json::{Value, json};

use super::services;

/// A server of one test. Its threads end with the program.
pub struct Front {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
}

/// A question.
pub struct Asked {
    pub method: String,
    pub path: String,
    /// By names in lower case.
    pub headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// What to do about it.
pub enum Reply {
    /// The registry answers.
    Pass,
    /// The registry answers, and schemas get GUIDs as in Confluent's registry.
    Guids,
    /// This status and body.
    Answer(u16, String),
    /// Nothing comes, and the connection stays open.
    Silence,
    /// A body without end.
    Endless,
    /// The connection is closed.
    Close,
}

/// The first bytes of GUIDs here; the last four are the id.
const GUID: &[u8; 12] = b"bespoke test";

/// The GUID of the schema with an id.
pub fn guid(id: u32) -> Guid {
    let mut guid = [0; 16];
    guid[..12].copy_from_slice(GUID);
    guid[12..].copy_from_slice(&id.to_be_bytes());
    Guid(guid)
}

// === impl Front ===

impl Front {
    /// Starts a server that does by `rule`.
    pub fn start(rule: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (rule, asked) = (Arc::new(rule), Arc::new(AtomicU32::new(0)));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (rule, count, stream) = (rule.clone(), count.clone(), stream.expect("a connection"));
                // A client that has seen enough closes its end, which is its right.
                thread::spawn(move || serve(stream, &*rule, &count).ok());
            }
        });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many questions came so far.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(stream: TcpStream, rule: &dyn Fn(&Asked) -> Reply, count: &AtomicU32) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked = Asked { method, path, headers, body };
    count.fetch_add(1, Ordering::Relaxed);
    match rule(&asked) {
        Reply::Pass => {
            let (status, body) = passed_on(&asked, &asked.path);
            answer(stream, status, &body)
        }
        Reply::Guids => {
            let (status, body) = with_guids(&asked);
            answer(stream, status, &body)
        }
        Reply::Answer(status, body) => answer(stream, status, body.as_bytes()),
        Reply::Silence => reader.read_to_end(&mut Vec::new()).map(|_| ()),
        Reply::Endless => {
            write!(&stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            loop {
                (&stream).write_all(&[b' '; 1 << 16])?;
            }
        }
        Reply::Close => Ok(()),
    }
}

fn answer(mut stream: TcpStream, status: u16, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(body)
}

/// What the real registry answers.
fn passed_on(asked: &Asked, path: &str) -> (u16, Vec<u8>) {
    let url = services::registry().address();
    let (host, base) = url.trim_start_matches("http://").split_once('/').expect("a path");
    let mut stream = TcpStream::connect(host).expect("the registry");
    let (method, length) = (&asked.method, asked.body.len());
    // By HTTP 1.0 the answer ends with the connection, and is not in chunks.
    write!(
        stream,
        "{method} /{base}{path} HTTP/1.0\r\nhost: {host}\r\n\
         content-type: application/vnd.schemaregistry.v1+json\r\ncontent-length: {length}\r\n\r\n"
    )
    .expect("sent");
    stream.write_all(&asked.body).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.split_off(end + 4))
}

fn with_guids(asked: &Asked) -> (u16, Vec<u8>) {
    let by_guid = asked.path.strip_prefix("/schemas/guids/").map(|path| path.split('?').next().unwrap_or(path));
    let by_id = asked.path.strip_prefix("/schemas/ids/").map(|path| path.split('?').next().unwrap_or(path));
    let mut id = by_id.and_then(|id| id.parse().ok());
    let mut path = asked.path.clone();
    if let Some(text) = by_guid {
        let Guid(bytes) = Guid::parse(text).expect("a GUID");
        let known = bytes.strip_prefix(GUID).map(|id| u32::from_be_bytes(id.try_into().expect("four bytes")));
        let Some(known) = known else {
            return (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string().into_bytes());
        };
        (id, path) = (Some(known), format!("/schemas/ids/{known}"));
    }
    let (status, body) = passed_on(asked, &path);
    match serde_json::from_slice(&body) {
        Ok(Value::Object(mut object)) if status == 200 => {
            let id = id.or(object.get("id").and_then(Value::as_u64).and_then(|id| id.try_into().ok()));
            if let Some(id) = id {
                object.insert("guid".to_owned(), guid(id).to_string().into());
            }
            (status, Value::Object(object).to_string().into_bytes())
        }
        _ => (status, body),
    }
}
