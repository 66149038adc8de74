//! Bytes in, a request out. No I/O.

use std::mem::MaybeUninit;

/// How many headers a request may have.
const MOST_HEADERS: usize = 64;
/// The longest line that announces a chunk, its extensions included.
const MOST_CHUNK_LINE: usize = 256;

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// As sent.
    pub method: String,
    /// Decoded, without the query string.
    pub path: String,
    /// What follows the `?`, still encoded.
    pub query: String,
    /// For whom it is: the authority of a target that is a whole URI, or else the `Host` header. None in HTTP/1.0 perhaps.
    pub host: Option<String>,
    /// The `Accept` header.
    pub accept: String,
    /// The `Last-Event-ID` header.
    pub last_event_id: String,
    /// All of it.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a query parameter, decoded; an empty one for a parameter without value.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(key)? == name).then(|| percent_decoded(&value.replace('+', " "))).flatten()
        })
    }

    /// Whether a query parameter is there and says yes.
    pub fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| !matches!(value.as_str(), "0" | "false" | "no"))
    }

    /// Whether the client asks for JSON where others are content with text.
    pub fn wants_json(&self) -> bool {
        self.accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == super::JSON))
    }
}

/// Why a request is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It cannot be understood.
    Malformed,
    /// Too much before the body.
    HeadTooLarge,
    /// Too much of a body.
    BodyTooLarge,
    /// A transfer coding that we have no idea of.
    UnknownCoding,
    /// Another expectation than `100-continue`.
    UnknownExpectation,
    /// A version of HTTP that is neither 1.0 nor 1.1.
    UnknownVersion,
}

impl Problem {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
            Self::UnknownCoding => 501,
            Self::UnknownExpectation => 417,
            Self::UnknownVersion => 505,
        }
    }
}

/// How far a request has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to come.
    Partial,
    /// More has to come, and the client waits to be told so.
    AwaitsContinue,
    /// All is here.
    Complete(Request),
}

#[derive(Debug)]
enum Stage {
    Head,
    Length { left: usize },
    ChunkSize,
    Chunk { left: usize },
    ChunkEnd,
    Trailer,
}

/// Gathers a request.
#[derive(Debug)]
pub struct RequestReader {
    /// What has come and is not understood yet.
    bytes: Vec<u8>,
    stage: Stage,
    request: Request,
    most_head: usize,
    most_body: usize,
}

impl RequestReader {
    /// Takes heads and bodies of up to so many bytes.
    pub fn new(most_head: usize, most_body: usize) -> Self {
        Self { bytes: Vec::new(), stage: Stage::Head, request: Request::default(), most_head, most_body }
    }

    /// How much it holds by now.
    pub fn held(&self) -> usize {
        self.bytes.capacity() + self.request.body.capacity()
    }

    /// Whether nothing has come yet.
    pub fn is_untouched(&self) -> bool {
        matches!(self.stage, Stage::Head) && self.bytes.is_empty()
    }

    /// Takes what the client has sent.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Progress, Problem> {
        self.bytes.extend_from_slice(bytes);
        let mut awaits_continue = false;
        if matches!(self.stage, Stage::Head) {
            // A head ends with a line; without one in this piece there is nothing new to understand.
            if !bytes.contains(&b'\n') {
                return if self.bytes.len() > self.most_head {
                    Err(Problem::HeadTooLarge)
                } else {
                    Ok(Progress::Partial)
                };
            }
            match self.head()? {
                None => return Ok(Progress::Partial),
                Some(expects) => awaits_continue = expects,
            }
        }
        if self.body()? {
            return Ok(Progress::Complete(std::mem::take(&mut self.request)));
        }
        Ok(if awaits_continue && self.bytes.is_empty() { Progress::AwaitsContinue } else { Progress::Partial })
    }

    /// Understands the head, if all of it is here: whether the client waits for a `100 Continue`.
    fn head(&mut self) -> Result<Option<bool>, Problem> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(&self.bytes, &mut headers) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.bytes.len() <= self.most_head => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(Problem::HeadTooLarge),
            Err(httparse::Error::Version) if names_a_version(&self.bytes) => return Err(Problem::UnknownVersion),
            Err(_) => return Err(Problem::Malformed),
        };
        if length > self.most_head {
            return Err(Problem::HeadTooLarge);
        }
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        let Target { authority, path, query } = Target::parse(method, target).ok_or(Problem::Malformed)?;
        self.request = Request { method: method.to_owned(), path, query, ..Request::default() };
        // What waits for an answer in a version that has none would take the first one for the last.
        let is_current = parsed.version == Some(1);
        let (mut hosts, mut size, mut chunked, mut expects) = (0, None, false, false);
        for header in parsed.headers.iter() {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            if is("content-length") {
                let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                if !digits || size.is_some_and(|size| Some(size) != value.parse().ok()) {
                    return Err(Problem::Malformed);
                }
                size = Some(value.parse().unwrap_or(usize::MAX));
            } else if is("transfer-encoding") {
                if !is_current {
                    return Err(Problem::Malformed);
                }
                if chunked || !value.eq_ignore_ascii_case("chunked") {
                    return Err(Problem::UnknownCoding);
                }
                chunked = true;
            } else if is("expect") && is_current {
                if !value.eq_ignore_ascii_case("100-continue") {
                    return Err(Problem::UnknownExpectation);
                }
                expects = true;
            } else if is("accept") {
                value.clone_into(&mut self.request.accept);
            } else if is("last-event-id") {
                value.clone_into(&mut self.request.last_event_id);
            } else if is("host") {
                if !is_authority(header.value) {
                    return Err(Problem::Malformed);
                }
                hosts += 1;
                self.request.host = Some(value.to_owned());
            }
        }
        // Who asks for a whole URI means that, whatever the header says.
        if let Some(authority) = authority {
            self.request.host = Some(authority);
        }
        // Two ways to tell the length are a way to smuggle a request past somebody. 3.8: no host, no answer.
        if (chunked && size.is_some()) || hosts > 1 || (is_current && hosts == 0) {
            return Err(Problem::Malformed);
        }
        self.stage = if chunked { Stage::ChunkSize } else { Stage::Length { left: size.unwrap_or(0) } };
        if size.is_some_and(|size| size > self.most_body) {
            return Err(Problem::BodyTooLarge);
        }
        self.bytes.drain(..length);
        Ok(Some(expects))
    }

    /// Understands what there is of the body: whether that is all.
    fn body(&mut self) -> Result<bool, Problem> {
        loop {
            match self.stage {
                Stage::Head => return Ok(false),
                Stage::Length { left } => {
                    let left = left - self.move_to_body(left);
                    self.stage = Stage::Length { left };
                    return Ok(left == 0);
                }
                Stage::ChunkSize => {
                    let Some(line) = self.line()? else { return Ok(false) };
                    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                    let digits = std::str::from_utf8(digits).map_err(|_| Problem::Malformed)?;
                    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return Err(Problem::Malformed);
                    }
                    let left = usize::from_str_radix(digits, 16).map_err(|_| Problem::BodyTooLarge)?;
                    if left > self.most_body - self.request.body.len() {
                        return Err(Problem::BodyTooLarge);
                    }
                    self.stage = if left == 0 { Stage::Trailer } else { Stage::Chunk { left } };
                }
                Stage::Chunk { left } => {
                    let left = left - self.move_to_body(left);
                    if left > 0 {
                        self.stage = Stage::Chunk { left };
                        return Ok(false);
                    }
                    self.stage = Stage::ChunkEnd;
                }
                Stage::ChunkEnd => {
                    let Some(line) = self.line()? else { return Ok(false) };
                    if !line.is_empty() {
                        return Err(Problem::Malformed);
                    }
                    self.stage = Stage::ChunkSize;
                }
                Stage::Trailer => {
                    let Some(line) = self.line()? else { return Ok(false) };
                    if line.is_empty() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn move_to_body(&mut self, most: usize) -> usize {
        let count = most.min(self.bytes.len());
        if self.request.body.is_empty() && count == self.bytes.len() {
            self.request.body = std::mem::take(&mut self.bytes);
        } else {
            self.request.body.extend(self.bytes.drain(..count));
        }
        count
    }

    /// The next line of the framing, without its end.
    fn line(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return if self.bytes.len() > MOST_CHUNK_LINE { Err(Problem::Malformed) } else { Ok(None) };
        };
        if end > MOST_CHUNK_LINE {
            return Err(Problem::Malformed);
        }
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }
}

/// What a request is about.
struct Target {
    /// Of a target that is a whole URI.
    authority: Option<String>,
    path: String,
    query: String,
}

impl Target {
    fn parse(method: &str, target: &str) -> Option<Self> {
        let whole = if target.starts_with('/') { None } else { target.split_once("://") };
        let (authority, local) = match whole {
            Some((scheme, rest)) if !scheme.contains('/') => {
                let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                if authority.is_empty() || !is_authority(authority.as_bytes()) {
                    return None;
                }
                (Some(authority.to_owned()), local)
            }
            Some(_) | None => (None, target),
        };
        let (path, query) = local.split_once('?').unwrap_or((local, ""));
        let path = if path.is_empty() && authority.is_some() { "/" } else { path };
        // `*` is the server itself, which may be asked for its options only.
        if !(path.starts_with('/') || (path == "*" && method == "OPTIONS")) {
            return None;
        }
        Some(Self { authority, path: percent_decoded(path)?, query: query.to_owned() })
    }
}

/// Whether this may be a host with a port. Nothing is fine, too.
fn is_authority(text: &[u8]) -> bool {
    text.trim_ascii().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte))
}

/// Whether a request line is one but for its version of HTTP.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let version = words.next().unwrap_or_default();
    words.next().is_none() && matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
}

/// A text as a part of a path.
pub fn percent_encode(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

/// `%41` is `A`; what is no UTF-8 then is nothing.
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_HEAD: usize = 16 * 1024;
    const MOST_BODY: usize = 1024 * 1024;

    fn read(text: &[u8]) -> Result<Progress, Problem> {
        RequestReader::new(MOST_HEAD, MOST_BODY).take(text)
    }

    fn complete(text: &[u8]) -> Request {
        match read(text) {
            Ok(Progress::Complete(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_is_encoded_for_paths_and_queries() {
        assert_eq!(percent_encode("pro d&1/ü"), "pro%20d%261%2F%C3%BC");
    }

    #[test]
    fn a_request_is_the_same_in_pieces_of_any_size() {
        let chunked: &[u8] =
            b"POST /v3/environ?x=%41 HTTP/1.1\r\nHost: c\r\naccept: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            6;ext\r\n{\"FOO\"\r\n7\r\n: \"me\"}\r\n0\r\nTrailer: x\r\n\r\n";
        let plain: &[u8] =
            b"POST /v3/environ?x=%41 HTTP/1.1\r\nHost: c\r\nAccept: a\r\nContent-Length: 13\r\n\r\n{\"FOO\": \"me\"}";
        let expected = Request {
            method: "POST".into(),
            path: "/v3/environ".into(),
            query: "x=%41".into(),
            host: Some("c".into()),
            accept: "a".into(),
            last_event_id: String::new(),
            body: b"{\"FOO\": \"me\"}".to_vec(),
        };
        for whole in [chunked, plain] {
            for size in 1..whole.len() {
                let mut reader = RequestReader::new(MOST_HEAD, MOST_BODY);
                let pieces: Vec<&[u8]> = whole.chunks(size).collect();
                for piece in &pieces[..pieces.len() - 1] {
                    assert_eq!(reader.take(piece), Ok(Progress::Partial), "{size}");
                }
                let last = reader.take(pieces[pieces.len() - 1]);
                assert_eq!(last, Ok(Progress::Complete(expected.clone())), "{size}");
            }
        }
    }

    #[test]
    fn a_client_may_wait_for_the_word_to_go_on() {
        let mut reader = RequestReader::new(MOST_HEAD, MOST_BODY);
        let head = b"POST / HTTP/1.1\r\nHost: c\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(reader.take(head), Ok(Progress::AwaitsContinue));
        assert!(matches!(reader.take(b"{}"), Ok(Progress::Complete(_))));
    }

    #[test]
    fn targets_may_be_encoded_or_whole() {
        let path = |target: &str| complete(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).path;
        assert_eq!(path("/v3/%70ing"), "/v3/ping");
        assert_eq!(path("http://control/v3/ping?x"), "/v3/ping");
        assert_eq!(path("http://control"), "/");
        assert_eq!(path("http://control?x"), "/");
        assert_eq!(complete(b"OPTIONS * HTTP/1.0\r\n\r\n").path, "*");
        for wrong in ["*", "", "http://", "http:///x", "http://a b/", "http://user@host/", "control:80"] {
            let text = format!("GET {wrong} HTTP/1.0\r\n\r\n");
            assert_eq!(read(text.as_bytes()), Err(Problem::Malformed), "{wrong}");
        }
        assert_eq!(read(b"GET v3 HTTP/1.0\r\n\r\n"), Err(Problem::Malformed));
        assert_eq!(read(b"GET /%zz HTTP/1.0\r\n\r\n"), Err(Problem::Malformed));
    }

    #[test]
    fn a_request_is_for_the_host_that_its_target_or_else_its_header_names() {
        let host = |text: &[u8]| complete(text).host;
        assert_eq!(host(b"GET / HTTP/1.0\r\n\r\n"), None);
        assert_eq!(host(b"GET / HTTP/1.0\r\nHost: [::1]:90 \r\n\r\n"), Some("[::1]:90".into()));
        assert_eq!(host(b"GET / HTTP/1.1\r\nHost:\r\n\r\n"), Some(String::new()));
        assert_eq!(host(b"GET http://a:1/ HTTP/1.1\r\nHost: b\r\n\r\n"), Some("a:1".into()));
    }

    #[test]
    fn what_an_older_version_does_not_know_means_nothing_in_it() {
        let mut reader = RequestReader::new(MOST_HEAD, MOST_BODY);
        let head = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(reader.take(head), Ok(Progress::Partial));
        assert!(matches!(reader.take(b"{}"), Ok(Progress::Complete(_))));
        let other = "Expect: the-unexpected\r\nHost: c\r\n\r\n";
        assert!(matches!(read(format!("GET / HTTP/1.0\r\n{other}").as_bytes()), Ok(Progress::Complete(_))));
        assert_eq!(read(format!("GET / HTTP/1.1\r\n{other}").as_bytes()), Err(Problem::UnknownExpectation));
        let chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(read(format!("POST / HTTP/1.0\r\n{chunked}").as_bytes()), Err(Problem::Malformed));
    }

    #[test]
    fn other_versions_are_told_so() {
        assert_eq!(read(b"GET / HTTP/9.9\r\n\r\n"), Err(Problem::UnknownVersion));
        assert_eq!(read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Err(Problem::UnknownVersion));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let refused: [&[u8]; 12] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: c\r\nContent-Length: -5\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: c\r\nContent-Length: +5\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            b"POST / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ];
        for text in refused {
            assert_eq!(read(text), Err(Problem::Malformed), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_kept() {
        let huge = b"POST / HTTP/1.1\r\nHost: c\r\nContent-Length: 99999999999999999999999999\r\n\r\n";
        assert_eq!(read(huge), Err(Problem::BodyTooLarge));
        let chunk = b"POST / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n";
        assert_eq!(read(chunk), Err(Problem::BodyTooLarge));
        let mut reader = RequestReader::new(MOST_HEAD, MOST_BODY);
        let mut last = reader.take(b"GET / HTTP/1.1\r\nHost: c\r\n");
        for _ in 0..MOST_HEAD {
            if last.is_err() {
                break;
            }
            last = reader.take(b"X: y\r\n");
        }
        assert_eq!(last, Err(Problem::HeadTooLarge));
        assert_eq!(read(&[b'x'; MOST_HEAD + 1]), Err(Problem::HeadTooLarge));
    }

    #[test]
    fn parameters_are_decoded() {
        let request = complete(b"GET /?a=1&b=x%20y+z&c HTTP/1.0\r\n\r\n");
        let value = |name| request.parameter(name);
        assert_eq!(
            (value("a"), value("b"), value("c"), value("d")),
            (Some("1".into()), Some("x y z".into()), Some(String::new()), None)
        );
        assert!(request.has("c") && request.has("a") && !request.has("d"));
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 88_172_645_463_325_252u64;
        let pieces: [&[u8]; 8] = [
            b"POST / HTTP/1.1\r\n",
            b"Host: c\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n",
            b"\xff\x00",
            b"Content-Length: 3\r\n",
        ];
        for _ in 0..5_000 {
            let mut reader = RequestReader::new(MOST_HEAD, MOST_BODY);
            for _ in 0..8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let index = usize::try_from(state % 8).unwrap();
                if !matches!(reader.take(pieces[index]), Ok(Progress::Partial)) {
                    break;
                }
            }
        }
    }
}
