//! A small HTTP server that misbehaves as it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How one request is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// With what is asked for, ranges included.
    Well,
    /// With everything, whatever range is asked for.
    WithoutRanges,
    /// With what is asked for up to this byte of the whole; then the connection ends.
    CutAt(usize),
    /// With what is asked for up to this byte of the whole; then nothing comes any more.
    StallAt(usize),
    /// With what is asked for, a byte now and then, for as long as the client stays.
    Trickle,
    /// Not at all, though the connection stays.
    Mute,
    /// With a status alone.
    Status(u16),
}

/// A request that came: its path and the range that it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
}

struct Route {
    body: Vec<u8>,
    /// One answer after the other; the last one stays.
    answers: Vec<Answer>,
    asked: usize,
}

#[derive(Default)]
struct State {
    routes: HashMap<String, Route>,
    requests: Vec<Request>,
    /// Connections on which nothing comes any more.
    stalled: Vec<TcpStream>,
    stopped: bool,
}

/// The server; it ends when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let served = Arc::clone(&state);
        let thread = std::thread::Builder::new().spawn(move || {
            for stream in listener.incoming() {
                if served.lock().unwrap().stopped {
                    return;
                }
                // A client that went away is no failure of the server.
                let _ = serve(stream.unwrap(), &served);
            }
        });
        Self {
            address,
            state,
            thread: Some(thread.unwrap()),
        }
    }

    /// Serves `body` at `path`; each request gets the next answer.
    pub(crate) fn serve(&self, path: &str, body: &[u8], answers: &[Answer]) {
        let route = Route {
            body: body.to_vec(),
            answers: answers.to_vec(),
            asked: 0,
        };
        let mut state = self.state.lock().unwrap();
        state.routes.insert(path.to_owned(), route);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked for so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The ranges that were asked for at a path.
    pub(crate) fn ranges(&self, path: &str) -> Vec<Option<String>> {
        let requests = self.requests().into_iter();
        let there = requests.filter(|request| request.path == path);
        there.map(|request| request.range).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.lock().unwrap().stopped = true;
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(request) = read_request(&stream)? else {
        return Ok(());
    };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    let Some(route) = state.routes.get_mut(&request.path) else {
        return stream.write_all(&head(404, 0, None));
    };
    let answer = route.answers[route.asked.min(route.answers.len() - 1)];
    route.asked += 1;
    let body = &route.body;
    let from = request.range.as_deref().map_or(0, |range| {
        let first = range
            .strip_prefix("bytes=")
            .and_then(|r| r.strip_suffix('-'));
        first.unwrap().parse().unwrap()
    });
    let end = match answer {
        Answer::Status(status) => return stream.write_all(&head(status, 0, None)),
        Answer::Mute => {
            state.stalled.push(stream);
            return Ok(());
        }
        Answer::WithoutRanges => {
            stream.write_all(&head(200, body.len(), None))?;
            return stream.write_all(body);
        }
        Answer::Trickle => {
            stream.write_all(&head(200, body.len(), None))?;
            let body = body.clone();
            std::thread::Builder::new().spawn(move || trickle(stream, &body))?;
            return Ok(());
        }
        Answer::Well => body.len(),
        Answer::CutAt(end) | Answer::StallAt(end) => end,
    };
    if from > 0 && from >= body.len() {
        return stream.write_all(&head(416, 0, None));
    }
    let range = (from > 0).then_some((from, body.len()));
    stream.write_all(&head(
        if from > 0 { 206 } else { 200 },
        body.len() - from,
        range,
    ))?;
    stream.write_all(&body[from..end.max(from)])?;
    if let Answer::StallAt(_) = answer {
        state.stalled.push(stream);
    }
    Ok(())
}

/// Sends a byte each 5 ms, until the client goes away.
fn trickle(mut stream: TcpStream, body: &[u8]) {
    let pause = std::time::Duration::from_millis(5);
    stream.set_read_timeout(Some(pause)).unwrap();
    for byte in body {
        // The client says nothing more: to listen is to wait.
        let gone = matches!(std::io::Read::read(&mut stream, &mut [0]), Ok(0));
        if gone || stream.write_all(&[*byte]).is_err() {
            return;
        }
    }
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("range")
        {
            range = Some(value.to_owned());
        }
    }
    Ok(Some(Request { path, range }))
}

fn head(status: u16, length: usize, range: Option<(usize, usize)>) -> Vec<u8> {
    let range = range.map(|(from, whole)| {
        let last = whole - 1;
        format!("Content-Range: bytes {from}-{last}/{whole}\r\n")
    });
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n{}Connection: close\r\n\r\n",
        range.unwrap_or_default()
    )
    .into_bytes()
}
