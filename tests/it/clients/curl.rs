//! curl, in each of the ways in which it can speak HTTP.

use std::path::PathBuf;

use super::stage::{Stage, line, run};

/// What is asked, how, and what is in the answer. `http:` and `https:` stand for where the data plane is.
struct Case {
    name: &'static str,
    arguments: &'static [&'static str],
    expected: &'static [&'static str],
}

const fn case(name: &'static str, arguments: &'static [&'static str], expected: &'static [&'static str]) -> Case {
    Case { name, arguments, expected }
}

const CASES: &[Case] = &[
    case("HTTP/1.1", &["http:/head?a=b"], &["HTTP/1.1 200", "\"target\":\"/head?a=b\""]),
    case("HTTP/1.1 over TLS", &["--http1.1", "https:/head"], &["HTTP/1.1 200", "\"X-Forwarded-Proto\":[\"https\"]"]),
    case("HTTP/2 by ALPN", &["https:/head"], &["HTTP/2 200", "\"X-Forwarded-Proto\":[\"https\"]"]),
    case("HTTP/2 with prior knowledge", &["--http2-prior-knowledge", "http:/head?a=b"], &["HTTP/2 200", "/head?a=b"]),
    case(
        "an upgrade to h2c is not granted",
        &["--http2", "http:/head"],
        &["HTTP/1.1 200", "\"headers\":{\"Accept\":[\"*/*\"],\"User-Agent\""],
    ),
    case("HTTP/1.0", &["--http1.0", "http:/head"], &["HTTP/1.0 200", "\"proto\":\"HTTP/1.1\""]),
    case(
        "HTTP/1.0 without length",
        &["--http1.0", "-o", "/dev/null", "-w", "%{size_download}", "http:/bytes?n=70000"],
        &["70000"],
    ),
    case("HEAD", &["-I", "http:/"], &["HTTP/1.1 200", "content-length: 22"]),
    case("HEAD by HTTP/2", &["-I", "https:/"], &["HTTP/2 200", "content-length: 22"]),
    case(
        "100-continue",
        &["-H", "Expect: 100-continue", "--expect100-timeout", "100", "-d", "hello", "http:/count"],
        &["HTTP/1.1 100 Continue", "HTTP/1.1 200", "\n5 "],
    ),
    // Nobody tells it to go on, as with nginx: it does so by itself, after a second unless it is told otherwise.
    case("100-continue by HTTP/2", &["-H", "Expect: 100-continue", "-d", "hello", "https:/count"], &["HTTP/2 200", "\n5 "]),
    case("trailers", &["-H", "TE: trailers", "http:/bytes?n=10"], &["HTTP/1.1 200", "trailer: X-Crc", "x-crc: "]),
    case("trailers by HTTP/2", &["https:/bytes?n=10"], &["HTTP/2 200", "x-crc: "]),
    case(
        "a form",
        &["-F", "a=b", "-F", "file=@Cargo.toml", "http:/head"],
        &["HTTP/1.1 200", "multipart/form-data", "[workspace]"],
    ),
    case("a file by chunks", &["-H", "Transfer-Encoding: chunked", "-T", "Cargo.lock", "http:/head"], &["200", "\"length\":-1"]),
    case("a file by HTTP/2", &["-T", "Cargo.lock", "https:/head"], &["HTTP/2 200", "\"method\":\"PUT\""]),
    case(
        "an answer before the upload is over",
        &["--http1.1", "-H", "Expect:", "-T", "/dev/zero", "-H", "Transfer-Encoding: chunked", "http:/early"],
        &["HTTP/1.1 403", "no\n"],
    ),
    case(
        "many on one connection",
        &["-o", "/dev/null", "-w", "%{num_connects} ", "http:/?[1-20]"],
        &["1 0 0 0 0 0 0 0 0 0 0 0 0 0"],
    ),
    case("many at a time", &["-Z", "-o", "/dev/null", "-w", "%{http_code} ", "https:/bytes?n=[5000-5040]"], &["200 200 200"]),
    case("a part", &["-r", "0-4", "http:/head"], &["\"Range\":[\"bytes=0-4\"]"]),
];

/// Goes through the cases.
pub async fn all(program: PathBuf) {
    let stage = Stage::get().await;
    for Case { name, arguments, expected } in CASES {
        let to_url = |argument: &&str| match argument.split_once(":/") {
            Some((scheme @ ("http" | "https"), rest)) => format!("{}/{rest}", stage.url(scheme)),
            _ => (*argument).to_owned(),
        };
        let given: Vec<String> = arguments.iter().map(to_url).collect();
        let common = ["-sSk", "-i", "--max-time", "60"];
        let given: Vec<&str> = common.into_iter().chain(given.iter().map(String::as_str)).collect();
        let said = run(&program, &given).await;
        for part in *expected {
            assert!(said.contains(part), "{name}: {part:?} is not in\n{said}");
        }
    }
    line("curl", &format!("{} ways passed", CASES.len()));
}

/// Bytes that the proxy may take more than before while it passes a gigabyte on.
const ROOM: u64 = 8 << 20;

/// A gigabyte streams through, by chunks and by HTTP/2, and little of it is in the proxy at a time.
pub async fn a_gigabyte_by_chunks(program: PathBuf) {
    let stage = Stage::get().await;
    // Alone: memory is measured.
    let data_plane = stage.another("upload").await;
    let status = format!("/proc/{}/status", data_plane.pid());
    for (name, how) in [("curl, 1 GiB by chunks", "--http1.1"), ("curl, 1 GiB by HTTP/2", "--http2-prior-knowledge")] {
        // From now on the highest counts (proc(5): clear_refs).
        std::fs::write(format!("/proc/{}/clear_refs", data_plane.pid()), "5").expect("written");
        let before = memory(&status, "VmRSS:");
        let upload = format!(
            "head -c 1073741824 /dev/zero | {} -sS {how} -H Expect: -H 'Content-Type: a/b' -T - http://{}/count",
            program.display(),
            data_plane.http
        );
        let said = run("/bin/sh".as_ref(), &["-c", &upload]).await;
        assert!(said.starts_with("1073741824 "), "{said}");
        let more = memory(&status, "VmHWM:").saturating_sub(before);
        assert!(more < ROOM, "{more} bytes of memory, of a body of 1 GiB");
        line(name, &format!("resident memory {:.1} MiB, at most {:.1} MiB more meanwhile", mebibytes(before), mebibytes(more)));
    }
    data_plane.stop().await;
}

/// In bytes.
fn memory(status: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(status).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
