//! How fast the emulator answers a plain client in another process, and what
//! a large account costs it: one line of JSON per case.
//!
//! `HUBLAKE_BENCH_CONTACTS` says how many contacts to seed (a million unless
//! told), `HUBLAKE_BENCH_SECONDS` how long a case runs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_hublake");
/// Connections that ask at the same time.
const CLIENTS: u64 = 4;
/// Records of a page and of a batch.
const PAGE: u64 = 100;
/// Custom properties per type, so that 600 can be asked for.
const CUSTOM: &str = "600";
/// Ticks of `/proc/…/stat` in a second, the same on every Linux.
const TICKS: f64 = 100.0;

fn main() -> io::Result<()> {
    // `cargo test` runs benches too, to see that they run.
    let real = std::env::args().any(|argument| argument == "--bench");
    let contacts = number("HUBLAKE_BENCH_CONTACTS", if real { 1_000_000 } else { 2_000 });
    let seconds = number("HUBLAKE_BENCH_SECONDS", if real { 10 } else { 1 });
    let emulator = Emulator::start(contacts)?;
    emulator.first_searches()?;
    let names = emulator.property_names()?;
    let sixty = spread(&names, 60);
    let time = Duration::from_secs(seconds);

    emulator.run("list, default properties", time, |ids, _| list(ids, ""))?;
    emulator.run("list, 60 properties", time, |ids, _| list(ids, &sixty.join(",")))?;
    // Longer lists do not fit a URL, neither here nor at HubSpot.
    let most = quoted(&spread(&names, 600));
    emulator.run("batch read, 600 properties", time, |ids, _| batch_read(ids, &most))?;
    let quoted_sixty = quoted(&sixty);
    emulator.run("batch read, 60 properties", time, |ids, _| batch_read(ids, &quoted_sixty))?;
    // A search body holds no more than 3,000 characters.
    let fewer = quoted(&spread(&names, 30));
    emulator.run("search by id, 30 properties", time, |ids, _| search_ids(ids, &fewer))?;
    emulator.run("search since, 60 properties", time, |ids, _| search_since(ids, &quoted_sixty))?;
    emulator.report_size()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Some of the names, from all over the list: standard and custom, full and
/// empty.
fn spread(names: &[String], many: usize) -> Vec<String> {
    let many = many.min(names.len());
    (0..many).map(|turn| names[turn * names.len() / many].clone()).collect()
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",")
}

/// A call: method, path, body.
type Ask = (&'static str, String, String);

fn list(ids: &[u64], names: &str) -> Ask {
    let from = ids.first().copied().unwrap_or_default();
    let path = format!("/crm/v3/objects/contacts?limit={PAGE}&after={from}&properties={names}");
    ("GET", path, String::new())
}

fn batch_read(ids: &[u64], names: &str) -> Ask {
    let mut body = format!("{{\"properties\":[{names}],\"inputs\":[");
    for (turn, id) in ids.iter().enumerate() {
        let comma = if turn > 0 { "," } else { "" };
        let _ = write!(body, "{comma}{{\"id\":\"{id}\"}}");
    }
    body.push_str("]}");
    ("POST", "/crm/v3/objects/contacts/batch/read".to_owned(), body)
}

fn search(filters: &str, names: &str) -> Ask {
    let body = format!(
        "{{\"filterGroups\":[{{\"filters\":[{filters}]}}],\"limit\":{PAGE},\
         \"sorts\":[{{\"propertyName\":\"hs_object_id\",\"direction\":\"ASCENDING\"}}],\
         \"properties\":[{names}]}}"
    );
    ("POST", "/crm/v3/objects/contacts/search".to_owned(), body)
}

/// The records of some ids.
fn search_ids(ids: &[u64], names: &str) -> Ask {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let ids = ids.join(",");
    let filter =
        format!("{{\"propertyName\":\"hs_object_id\",\"operator\":\"IN\",\"values\":[{ids}]}}");
    search(&filter, names)
}

/// The next records, by id, of all that were changed since some day.
fn search_since(ids: &[u64], names: &str) -> Ask {
    let from = ids.first().copied().unwrap_or_default();
    let filters = format!(
        "{{\"propertyName\":\"lastmodifieddate\",\"operator\":\"GTE\",\"value\":\"1764547200000\"}},\
         {{\"propertyName\":\"hs_object_id\",\"operator\":\"GT\",\"value\":\"{from}\"}}"
    );
    search(&filters, names)
}

/// The emulator in a process of its own, killed when dropped.
struct Emulator {
    process: Child,
    address: String,
    contacts: u64,
    ids: Vec<u64>,
}

impl Emulator {
    fn start(contacts: u64) -> io::Result<Self> {
        let begun = Instant::now();
        let contacts_text = contacts.to_string();
        let mut process = Command::new(BINARY)
            .args(["--quiet", "emulator", "--port", "0", "--contacts", &contacts_text])
            .args(["--properties", CUSTOM, "--limit", "100000000"])
            .args(["--daily-limit", "1000000000", "--index-lag", "0ms"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let out = process.stdout.take().ok_or_else(|| io::Error::other("No output"))?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().rsplit("//").next().unwrap_or_default().to_owned();
        let mut emulator = Self { process, address, contacts, ids: Vec::new() };
        let limits = r#"{"searches_per_second":100000000}"#;
        let mut client = emulator.client()?;
        client.ask(&("POST", "/_emulator/limits".to_owned(), limits.to_owned()))?;
        client.ask(&list(&[], ""))?;
        println!(
            "{{\"case\":\"start\",\"contacts\":{contacts},\"seconds_to_first_page\":{:.3}}}",
            begun.elapsed().as_secs_f64()
        );
        emulator.ids = emulator.some_ids(&mut client)?;
        Ok(emulator)
    }

    fn client(&self) -> io::Result<Client> {
        Client::connect(&self.address)
    }

    /// Ids of a hundred pages spread over the account, in order.
    fn some_ids(&self, client: &mut Client) -> io::Result<Vec<u64>> {
        client.ask(&list(&[], ""))?;
        let first = client.ids().first().copied().unwrap_or_default();
        let step = (self.contacts * 37 / 100).max(PAGE);
        let mut ids = Vec::new();
        for turn in 0..100 {
            client.ask(&list(&[first + turn * step], ""))?;
            let page = client.ids();
            if page.len() as u64 == PAGE {
                ids.extend(page);
            }
        }
        Ok(ids)
    }

    fn property_names(&self) -> io::Result<Vec<String>> {
        let mut client = self.client()?;
        client.ask(&("GET", "/crm/v3/properties/contacts".to_owned(), String::new()))?;
        let text = String::from_utf8_lossy(&client.body).into_owned();
        let names = text.split("\"name\":\"").skip(1);
        Ok(names.filter_map(|rest| Some(rest.split('"').next()?.to_owned())).collect())
    }

    /// What the first search over all records takes, of two kinds.
    fn first_searches(&self) -> io::Result<()> {
        let mut client = self.client()?;
        let city = "{\"propertyName\":\"city\",\"operator\":\"EQ\",\"value\":\"Osaka\"}";
        for (case, ask) in [
            ("first search by modified date", search_since(&[0], "\"email\"")),
            ("search by modified date again", search_since(&[0], "\"email\"")),
            ("first search by another property", search(city, "\"email\"")),
        ] {
            let begun = Instant::now();
            client.ask(&ask)?;
            let seconds = begun.elapsed().as_secs_f64();
            println!("{{\"case\":\"{case}\",\"seconds\":{seconds:.3}}}");
        }
        Ok(())
    }

    /// Asks for pages from several connections for some time.
    fn run(
        &self,
        case: &str,
        time: Duration,
        ask: impl Fn(&[u64], u64) -> Ask + Sync,
    ) -> io::Result<()> {
        let (pages, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let before = self.cpu_seconds();
        let begun = Instant::now();
        let results: Vec<io::Result<()>> = thread::scope(|scope| {
            let worker = |turn: u64| {
                let (ask, pages, bytes) = (&ask, &pages, &bytes);
                scope.spawn(move || {
                    let mut client = self.client()?;
                    let groups = self.ids.chunks(PAGE as usize).cycle();
                    for ids in groups.skip(turn as usize * 23) {
                        if begun.elapsed() >= time {
                            break;
                        }
                        client.ask(&ask(ids, turn))?;
                        pages.fetch_add(1, Ordering::Relaxed);
                        bytes.fetch_add(client.body.len() as u64, Ordering::Relaxed);
                    }
                    Ok(())
                })
            };
            let workers: Vec<_> = (0..CLIENTS).map(worker).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("Panicked"))))
                .collect()
        });
        results.into_iter().collect::<io::Result<()>>()?;
        let seconds = begun.elapsed().as_secs_f64();
        let (pages, bytes) = (pages.into_inner() as f64, bytes.into_inner() as f64);
        let cpu = (self.cpu_seconds() - before) / pages * 1000.0;
        println!(
            "{{\"case\":\"{case}\",\"pages_per_second\":{:.0},\"kilobytes_per_page\":{:.0},\
             \"emulator_cpu_seconds_per_1000_pages\":{cpu:.3}}}",
            pages / seconds,
            bytes / pages / 1024.0
        );
        Ok(())
    }

    fn cpu_seconds(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()));
        let text = text.unwrap_or_default();
        let after_name = text.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
    }

    fn report_size(&self) -> io::Result<()> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.and_then(|line| line.split_whitespace().next()).unwrap_or("0");
            text.parse::<u64>().unwrap_or_default()
        };
        println!(
            "{{\"case\":\"size\",\"resident_megabytes\":{},\"most_resident_megabytes\":{}}}",
            kilobytes("VmRSS:") / 1024,
            kilobytes("VmHWM:") / 1024
        );
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The plainest client that keeps its connection.
struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream: BufReader::with_capacity(256 * 1024, stream), body: Vec::new() })
    }

    /// Asks, and keeps the answer's body; an answer that is no success is an
    /// error.
    fn ask(&mut self, (method, path, body): &Ask) -> io::Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer bench\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or_default();
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        match status.as_str() {
            "200" => Ok(()),
            _ => Err(io::Error::other(format!(
                "{method} {path}: {status} {}",
                String::from_utf8_lossy(&self.body)
            ))),
        }
    }

    /// The ids of the records in the last answer.
    fn ids(&self) -> Vec<u64> {
        let text = String::from_utf8_lossy(&self.body);
        let starts = text.split("{\"id\":\"").skip(1);
        starts.filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }
}
