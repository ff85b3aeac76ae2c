//! As much of a web server as `curl` needs: GET gives a file of a directory, PUT takes one.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use portreeve_tests::lab::{Netns, Result};
use socket2::SockRef;

const TICK: Duration = Duration::from_millis(50);
const STUCK: Duration = Duration::from_secs(20);

/// A running server.
pub struct Http {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Http {
    /// With the files of `directory`, at port 80.
    pub fn start(netns: &Netns, address: Ipv4Addr, directory: &Path) -> Result<Self> {
        let listener = netns.enter(|| TcpListener::bind((address, 80)))??;
        SockRef::from(&listener).set_read_timeout(Some(TICK))?;
        let stop = Arc::<AtomicBool>::default();
        let (ended, directory) = (stop.clone(), directory.to_owned());
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else { continue };
                // The client tells what went wrong.
                let _ = serve(&client, &directory);
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut client: &TcpStream, directory: &Path) -> std::io::Result<()> {
    client.set_read_timeout(Some(STUCK))?;
    client.set_write_timeout(Some(STUCK))?;
    let mut reader = BufReader::new(client);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let (mut length, mut asks_first) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap_or(0));
        asks_first |= line.starts_with("expect: 100-continue");
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), file(directory, words.next().unwrap_or_default()));
    match (method, path) {
        ("GET", Some(path)) if path.is_file() => {
            let mut file = File::open(&path)?;
            write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                file.metadata()?.len()
            )?;
            std::io::copy(&mut file, &mut client)?;
        }
        ("PUT", Some(path)) => {
            if asks_first {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            std::io::copy(&mut reader.take(length), &mut File::create(path)?)?;
            client.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        }
        _ => client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?,
    }
    Ok(())
}

/// A file of the directory itself.
fn file(directory: &Path, target: &str) -> Option<PathBuf> {
    let name = target.strip_prefix('/')?;
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| directory.join(name))
}
