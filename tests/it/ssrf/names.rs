//! A played name server on 127.0.0.1:53, over UDP and TCP (RFC 1035), that says what the test tells it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What is said to a question.
pub enum Reply {
    /// The addresses of the family that is asked for. They may be kept for no time at all.
    Addresses(Vec<IpAddr>),
    /// A name that stands for another, and so on, and the last one's addresses.
    Aliases(Vec<&'static str>, Vec<IpAddr>),
    NoSuchName,
    Silence,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;
/// A resolver that says nothing of itself takes no more over UDP.
const MAX_UDP: usize = 512;

type Script = Arc<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// The server, and what it was asked.
pub struct Names {
    asked: Arc<Mutex<Vec<String>>>,
}

struct Question {
    name: String,
    kind: u16,
    bytes: Vec<u8>,
}

impl Names {
    /// The script gets a name and how often its addresses of this family were asked for before.
    pub async fn start(script: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Names {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let udp = UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let tcp = TcpListener::bind("127.0.0.1:53").await.unwrap();
        let script: Script = Arc::new(script);
        let (log, play) = (asked.clone(), script.clone());
        tokio::spawn(async move {
            let mut packet = [0; MAX_UDP];
            while let Ok((n, from)) = udp.recv_from(&mut packet).await {
                let question = Question::read(&packet[..n]);
                if let Some(answer) = answer(&packet[..2], &question, &log, &play, MAX_UDP) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                // One that waits for more questions than it has is its own affair.
                while let Ok(length) = stream.read_u16().await {
                    let mut packet = vec![0; length.into()];
                    stream.read_exact(&mut packet).await.unwrap();
                    let question = Question::read(&packet);
                    if let Some(answer) = answer(&packet[..2], &question, &log, &script, usize::MAX) {
                        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                }
            }
        });
        Names { asked }
    }

    /// Every name that was asked for, once for each family and each time.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().filter_map(|asked| Some(asked.split_once(' ')?.1.to_owned())).collect()
    }

    /// How often the IPv4 addresses of a name were asked for.
    pub fn times(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| **asked == format!("{A} {name}")).count()
    }
}

impl Question {
    fn read(packet: &[u8]) -> Question {
        let (mut at, mut labels) = (12, Vec::new());
        while packet[at] > 0 {
            let end = at + 1 + usize::from(packet[at]);
            labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_ascii_lowercase());
            at = end;
        }
        let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
        Question { name: labels.join("."), kind, bytes: packet[12..at + 5].to_vec() }
    }
}

fn answer(id: &[u8], question: &Question, log: &Mutex<Vec<String>>, script: &Script, limit: usize) -> Option<Vec<u8>> {
    let entry = format!("{} {}", question.kind, question.name);
    let before = log.lock().unwrap().iter().filter(|asked| **asked == entry).count();
    let (aliases, addresses, code) = match script(&question.name, before) {
        Reply::Addresses(addresses) => (Vec::new(), addresses, 0),
        Reply::Aliases(aliases, addresses) => (aliases, addresses, 0),
        Reply::NoSuchName => (Vec::new(), Vec::new(), 3),
        Reply::Silence => {
            log.lock().unwrap().push(entry);
            return None;
        }
    };
    let (mut owner, mut records) = (encoded(&question.name), Vec::new());
    for alias in aliases {
        let target = encoded(alias);
        records.push(record(&owner, CNAME, &target));
        owner = target;
    }
    for address in addresses {
        match address {
            IpAddr::V4(v4) if question.kind == A => records.push(record(&owner, A, &v4.octets())),
            IpAddr::V6(v6) if question.kind == AAAA => records.push(record(&owner, AAAA, &v6.octets())),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
    let whole = message(id, question, code, &records);
    if whole.len() > limit {
        // Truncated: to be asked for over TCP, which is when it counts.
        let mut cut = message(id, question, code, &[]);
        cut[2] |= 2;
        return Some(cut);
    }
    log.lock().unwrap().push(entry);
    Some(whole)
}

fn message(id: &[u8], question: &Question, code: u8, records: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let head = [id, &[0x81, 0x80 | code, 0, 1], &count, &[0, 0, 0, 0], &question.bytes].concat();
    [head, records.concat()].concat()
}

/// A record that may be kept for no time (TTL 0).
fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [owner, &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 0], &length, data].concat()
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| {
        let length = u8::try_from(label.len()).unwrap();
        [&[length], label.as_bytes()].concat()
    });
    labels.chain([0]).collect()
}
