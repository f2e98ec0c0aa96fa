//! The upstream: `/1k` and `/100k` are answered with as many bytes, connections are kept.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the body at `/1k`.
pub const SMALL: usize = 1024;

/// On this address, for ever.
pub fn run(address: &str) -> ExitCode {
    serve(std::net::TcpListener::bind(address).expect("a free port"))
}

/// On a free port, until the program ends.
pub fn spawn() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(|| serve(listener));
    address
}

fn serve(listener: std::net::TcpListener) -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let answers: &'static [Vec<u8>; 2] = Box::leak(Box::new([answer(SMALL), answer(100 * 1024)]));
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, answers));
            }
        }
    })
}

fn answer(size: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Content-Length: {size}\r\nETag: \"1-{size}\"\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + size, b'x');
    answer
}

async fn converse(mut stream: TcpStream, answers: &'static [Vec<u8>; 2]) {
    let _ = stream.set_nodelay(true);
    let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        while let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            let large = buffer[..filled].starts_with(b"GET /100k");
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
            if stream.write_all(&answers[usize::from(large)]).await.is_err() {
                return;
            }
        }
    }
}
