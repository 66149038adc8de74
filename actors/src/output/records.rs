//! From what a stream says to records: which lines are taken, joined, read as JSON, counted and shown.

use std::time::Duration;

use tokio::time::Instant;

use super::Counts;
use super::encode::{Encoder, Look, Stream};
use super::lines::{Cutter, Gathered, Limit, Part};
use super::loggers::Keys;
use super::object;
use super::tail::{Origin, Tail};
use crate::event::{Owner, RunId};
use crate::spec::{JsonKeys, LogFormat, LogLevel, LoggingSpec, OutputSpec, RateLimit};

/// So much is gathered before it is written.
pub const BATCH: usize = 128 * 1024;
/// After so long a silence a record of several lines is taken to be whole.
const QUIET: Duration = Duration::from_millis(200);

/// Whose stream, and what becomes of it.
#[derive(Debug)]
pub struct Who {
    pub owner: Owner,
    pub run: RunId,
    pub pid: i32,
    pub stream: Stream,
    pub output: std::sync::Arc<OutputSpec>,
}

/// One stream, between two pieces of it.
#[derive(Debug)]
pub struct Flow {
    pub who: Who,
    cutter: Cutter,
    /// None where each line is simply a record, which is the fast way.
    shape: Option<Box<Shape>>,
}

impl Flow {
    pub fn new(who: Who) -> Self {
        let output = &who.output;
        let is_plain = output.multiline.is_none() && !output.json && output.rate_limit.is_none();
        Self { cutter: Cutter::default(), shape: (!is_plain).then(Box::default), who }
    }
}

/// What a stream that is not plain is in the middle of.
#[derive(Debug, Default)]
struct Shape {
    /// A record of several lines.
    record: Gathered,
    /// Whether there is such a record; it may be an empty line.
    begun: bool,
    /// Since when that record has got no line.
    silent: Option<Instant>,
    /// Whether the pieces of the current long line are dropped.
    drops: bool,
}

/// What a stream does.
enum Does<'a> {
    Says(&'a [u8]),
    Pauses,
    Ends,
}

/// What is known of a job's or a check's output, over all its runs and streams.
#[derive(Debug, Default)]
pub struct Account {
    pub tail: Tail,
    pub counts: Counts,
    limiter: Option<Limiter>,
    streams: usize,
    forgotten: bool,
}

#[derive(Debug)]
struct Limiter {
    limit: RateLimit,
    since: Option<Instant>,
    taken: u64,
    dropped: u64,
}

impl Limiter {
    fn is_over(&self, now: Instant) -> bool {
        self.since.is_none_or(|since| now.duration_since(since) >= self.limit.per)
    }

    fn takes(&mut self, now: Instant) -> bool {
        if self.is_over(now) {
            (self.since, self.taken) = (Some(now), 0);
        }
        let takes = self.taken < self.limit.lines;
        if takes {
            self.taken += 1;
        } else {
            self.dropped += 1;
        }
        takes
    }
}

impl Account {
    /// One more stream.
    pub fn open(&mut self, limit: Option<RateLimit>) {
        self.streams += 1;
        self.forgotten = false;
        // A reload may have brought another limit.
        if self.limiter.as_ref().map(|limiter| limiter.limit) != limit {
            self.limiter = limit.map(|limit| Limiter { limit, since: None, taken: 0, dropped: 0 });
        }
    }

    /// Nobody will ask any more.
    pub fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Whether there is nothing more to be kept of it.
    pub fn is_over(&self) -> bool {
        self.forgotten && self.streams == 0
    }
}

/// Empties a batch that is full.
pub type Full<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

/// Makes records of what streams say.
#[derive(Debug)]
pub struct Recorder {
    pub encoder: Encoder,
    /// What has been made and is not written yet.
    pub out: Vec<u8>,
    pub format: LogFormat,
    least: LogLevel,
    limit: Limit,
    json_keys: JsonKeys,
    /// When something has to be done even if nobody says anything.
    wake: Option<Instant>,
}

impl Recorder {
    pub fn new(spec: &LoggingSpec) -> Self {
        Self {
            encoder: Encoder::default(),
            out: Vec::new(),
            format: spec.format,
            least: spec.level,
            limit: Limit::new(spec.max_line),
            json_keys: spec.json_keys.clone(),
            wake: None,
        }
    }

    /// Writes as `spec` says from now on.
    pub fn configure(&mut self, spec: &LoggingSpec) {
        self.format = spec.format;
        self.least = spec.level;
        self.limit.longest = spec.max_line;
        self.json_keys.clone_from(&spec.json_keys);
    }

    /// Takes the next piece of a stream. A batch that is full goes at once: the records of a piece may be a hundred times as
    /// long as the piece.
    pub fn take(&mut self, flow: &mut Flow, account: &mut Account, bytes: &[u8], full: Full<'_>) {
        let origin = self.begin(flow);
        account.tail.take(origin, flow.cutter.begun().bytes(), bytes);
        account.counts.bytes += bytes.len() as u64;
        self.work(flow, account, &Does::Says(bytes), full);
    }

    /// Makes what the next records of a stream have in common.
    fn begin(&mut self, flow: &Flow) -> Origin {
        let at = self.encoder.tick();
        self.encoder.begin(&look(&flow.who, self.format), None);
        Origin { at, pid: flow.who.pid, stream: flow.who.stream }
    }

    /// A stream has ended.
    pub fn end(&mut self, flow: &mut Flow, account: &mut Account, full: Full<'_>) {
        let origin = self.begin(flow);
        let begun = flow.cutter.begun().bytes();
        if !begun.is_empty() {
            account.tail.push(origin, begun);
        }
        self.work(flow, account, &Does::Ends, full);
        account.streams = account.streams.saturating_sub(1);
        if account.streams == 0 {
            self.tell_dropped(&flow.who.owner, account);
        }
    }

    /// When `pause` is due, if ever.
    pub fn wake(&self) -> Option<Instant> {
        self.wake
    }

    /// Forgets when `pause` is due; asking each stream will tell.
    pub fn woken(&mut self) {
        self.wake = None;
    }

    /// Finishes what has waited long enough. To be asked of each stream.
    pub fn pause(&mut self, flow: &mut Flow, account: &mut Account, full: Full<'_>) {
        let Some(shape) = &flow.shape else { return };
        let now = Instant::now();
        if let Some(silent) = shape.silent {
            if now < silent + QUIET {
                self.wake_at(silent + QUIET);
            } else if !flow.cutter.begun().is_split() {
                self.begin(flow);
                self.work(flow, account, &Does::Pauses, full);
            }
        }
        self.look_at_limit(&flow.who.owner, account, now);
    }

    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Tells what has been dropped once the span is over.
    fn look_at_limit(&mut self, owner: &Owner, account: &mut Account, now: Instant) {
        let Some(limiter) = &account.limiter else { return };
        if limiter.dropped == 0 {
            return;
        }
        match limiter.since {
            Some(since) if !limiter.is_over(now) => self.wake_at(since + limiter.limit.per),
            Some(_) | None => self.tell_dropped(owner, account),
        }
    }

    fn tell_dropped(&mut self, owner: &Owner, account: &mut Account) {
        let Some(limiter) = &mut account.limiter else { return };
        let dropped = std::mem::take(&mut limiter.dropped);
        if dropped > 0 && LogLevel::Warn >= self.least {
            let message = format!("dropped {dropped} lines beyond the limit of {owner}");
            self.encoder.warning(&mut self.out, self.format, Some(owner), &message, dropped);
        }
    }

    fn work(&mut self, flow: &mut Flow, account: &mut Account, does: &Does<'_>, full: Full<'_>) {
        if flow.shape.is_some() {
            return self.work_on_shape(flow, account, does, full);
        }
        let Flow { who, cutter, .. } = flow;
        let is_shown = who.output.level >= self.least;
        let (encoder, out, lines) = (&self.encoder, &mut self.out, &mut account.counts.lines);
        let mut each = |line: &[u8], part: Option<Part>| {
            *lines += u64::from(part.is_none_or(|part| part.last));
            if is_shown {
                encoder.line(out, line, part);
                if out.len() >= BATCH {
                    full(out);
                }
            }
        };
        match does {
            Does::Says(bytes) => cutter.take(bytes, &self.limit, &mut each),
            Does::Ends => cutter.end(&self.limit, &mut each),
            Does::Pauses => {}
        }
    }

    fn work_on_shape(&mut self, flow: &mut Flow, account: &mut Account, does: &Does<'_>, full: Full<'_>) {
        let now = Instant::now();
        self.look_at_limit(&flow.who.owner, account, now);
        let Flow { who, cutter, shape: Some(shape) } = flow else { return };
        let look = look(who, self.format);
        let (encoder, out, limit, least) = (&mut self.encoder, &mut self.out, &self.limit, self.least);
        let keys = Keys { own: &who.output.json_keys, common: &self.json_keys };
        let Account { counts, limiter, .. } = account;
        let Shape { record, begun, silent, drops } = shape.as_mut();
        let mut dropped = 0;
        let mut write = |text: &[u8], part: Option<Part>| {
            if part.is_none_or(|part| part.ordinal == 1) {
                *drops = limiter.as_mut().is_some_and(|limiter| !limiter.takes(now));
                dropped += u64::from(*drops);
            }
            if *drops {
                return;
            }
            let said = if who.output.json && part.is_none() { object::inspect(text, &keys) } else { None };
            match said {
                None if look.level >= least => encoder.line(out, text, part),
                None => {}
                Some(said) => {
                    let level = said.level.unwrap_or(look.level);
                    if level >= least {
                        encoder.object(out, &look, text, level, said.time);
                    }
                }
            }
            if out.len() >= BATCH {
                full(out);
            }
        };
        let lines = &mut counts.lines;
        let mut each = |line: &[u8], part: Option<Part>| {
            *lines += u64::from(part.is_none_or(|part| part.last));
            let Some(pattern) = &who.output.multiline else { return write(line, part) };
            if part.is_none_or(|part| part.ordinal == 1) {
                if *begun && pattern.matches(line) {
                    record.finish(limit, &mut write);
                } else if *begun {
                    record.add(b"\n", limit, &mut write);
                }
            }
            record.add(line, limit, &mut write);
            *begun = true;
        };
        match does {
            Does::Says(bytes) => cutter.take(bytes, limit, &mut each),
            Does::Ends => cutter.end(limit, &mut each),
            Does::Pauses => {}
        }
        if *begun && !matches!(does, Does::Says(_)) {
            *begun = false;
            record.finish(limit, &mut write);
        }
        *silent = begun.then_some(now);
        counts.dropped += dropped;
        if let Some(silent) = *silent {
            self.wake_at(silent + QUIET);
        }
        self.look_at_limit(&who.owner, account, now);
    }
}

fn look(who: &Who, format: LogFormat) -> Look<'_> {
    Look {
        owner: &who.owner,
        pid: who.pid,
        stream: who.stream,
        format: who.output.format.unwrap_or(format),
        level: who.output.level,
        fields: &who.output.fields,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::JobName;
    use crate::spec::LinePattern;

    struct Scene {
        recorder: Recorder,
        account: Account,
        flow: Flow,
    }

    impl Scene {
        fn new(output: OutputSpec, spec: &LoggingSpec) -> Self {
            let owner = Owner::Job(JobName::new("app"));
            let mut account = Account::default();
            account.open(output.rate_limit);
            let who = Who { owner, run: RunId(1), pid: 7, stream: Stream::Stdout, output: Arc::new(output) };
            Self { recorder: Recorder::new(spec), account, flow: Flow::new(who) }
        }

        fn says(&mut self, text: &str) {
            self.recorder.take(&mut self.flow, &mut self.account, text.as_bytes(), &mut |_| {});
        }

        fn ends(&mut self) {
            self.recorder.end(&mut self.flow, &mut self.account, &mut |_| {});
        }

        fn pauses(&mut self) {
            self.recorder.woken();
            self.recorder.pause(&mut self.flow, &mut self.account, &mut |_| {});
        }

        /// The records of now, each but its time.
        fn records(&mut self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut self.recorder.out)).unwrap();
            let shown = |line: &str| match line.split_once(",\"time\":") {
                Some((head, _)) => head.to_owned(),
                None => line.split(' ').skip(1).collect::<Vec<_>>().join(" "),
            };
            text.lines().map(shown).collect()
        }
    }

    fn json() -> LoggingSpec {
        LoggingSpec { format: LogFormat::Json, ..LoggingSpec::default() }
    }

    fn of_lines(lines: &[&str]) -> Vec<String> {
        let record = |line: &&str| format!(r#"{{"job":"app","level":"info","msg":"{line}","pid":7,"stream":"stdout""#);
        lines.iter().map(record).collect()
    }

    fn indented() -> OutputSpec {
        let start = LinePattern::new("^[^ ]", |line| !line.starts_with(b" "));
        OutputSpec { multiline: Some(start), ..OutputSpec::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_joined_until_the_next_start_or_the_end() {
        let mut scene = Scene::new(indented(), &json());
        scene.says("a\n  b\n\n  c\nd");
        scene.says("\n e");
        assert_eq!(scene.records(), of_lines(&["a\\n  b", "\\n  c"]), "an empty line begins one here");
        scene.ends();
        assert_eq!(scene.records(), of_lines(&["d\\n e"]));
        assert_eq!(scene.account.counts.lines, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_of_lines_is_whole_after_a_silence() {
        let mut scene = Scene::new(indented(), &json());
        scene.says("a\n b\n");
        scene.pauses();
        assert_eq!(scene.records(), of_lines(&[]));
        assert!(scene.recorder.wake().is_some());
        tokio::time::sleep(QUIET).await;
        scene.pauses();
        assert_eq!(scene.records(), of_lines(&["a\\n b"]));
        assert_eq!(scene.recorder.wake(), None);
        scene.says(" c\n");
        scene.ends();
        assert_eq!(scene.records(), of_lines(&[" c"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_of_lines_is_bounded() {
        let mut scene = Scene::new(indented(), &LoggingSpec { max_line: 256, ..json() });
        scene.says(&format!("a\n{}b\n", format!(" {}\n", "x".repeat(99)).repeat(10)));
        scene.ends();
        let records = scene.records();
        let value = |record: &String| serde_json::from_str::<serde_json::Value>(&format!("{record}}}")).unwrap();
        let parts: Vec<serde_json::Value> = records[..4].iter().map(value).collect();
        let whole: String = parts.iter().map(|part| part["msg"].as_str().unwrap()).collect();
        assert_eq!(whole, format!("a\n{}", format!(" {}\n", "x".repeat(99)).repeat(10).trim_end()));
        assert!(parts.iter().all(|part| part["partial_id"] == parts[0]["partial_id"]));
        assert_eq!(parts[3]["partial_last"], true);
        assert_eq!(records[4..], of_lines(&["b"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_when_it_is_full_however_short_lines_are() {
        let indented = indented();
        for output in [OutputSpec::default(), OutputSpec { json: true, ..OutputSpec::default() }, indented] {
            let mut scene = Scene::new(output, &json());
            let (mut longest, mut records) = (0, 0);
            scene.recorder.take(&mut scene.flow, &mut scene.account, "\n".repeat(65_536).as_bytes(), &mut |out| {
                longest = longest.max(out.len());
                records += out.iter().filter(|byte| **byte == b'\n').count();
                out.clear();
            });
            scene.ends();
            assert_eq!(records + scene.records().len(), 65_536);
            assert!(longest < BATCH + 1000, "{longest}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_data_with_their_level_and_time() {
        let spec = OutputSpec { json: true, ..OutputSpec::default() };
        let mut scene = Scene::new(spec.clone(), &json());
        scene.says("{\"level\":\"WARN\",\"time\":\"2026-01-01T00:00:00Z\",\"a\":[1]}\nplain\n{\"level\":\"debug\"}\n");
        let text = String::from_utf8(scene.recorder.out.clone()).unwrap();
        assert!(text.contains("\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n"), "{text}");
        let data = "{\"data\":{\"level\":\"WARN\"";
        let records = scene.records();
        assert!(records[0].starts_with(data), "{records:?}");
        assert_eq!(records[1..], of_lines(&["plain"]), "debug is not shown");
        let mut text = Scene::new(spec, &LoggingSpec::default());
        text.says("{\"level\":\"WARN\"}\n");
        assert_eq!(text.records(), ["app 7 {\"level\":\"WARN\"}"]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_limit_are_dropped_and_counted() {
        let limit = RateLimit { lines: 2, per: Duration::from_secs(1) };
        let mut scene = Scene::new(OutputSpec { rate_limit: Some(limit), ..OutputSpec::default() }, &json());
        scene.says("1\n2\n3\n4\n");
        assert_eq!(scene.records(), of_lines(&["1", "2"]));
        scene.pauses();
        assert_eq!(scene.records(), of_lines(&[]));
        tokio::time::sleep(limit.per).await;
        scene.says("5\n6\n7\n");
        let dropped = |count| {
            format!(
                r#"{{"job":"app","level":"warning","msg":"dropped {count} lines beyond the limit of app","dropped":{count}"#
            )
        };
        assert_eq!(scene.records(), [vec![dropped(2)], of_lines(&["5", "6"])].concat());
        tokio::time::sleep(limit.per).await;
        scene.pauses();
        assert_eq!(scene.records(), [dropped(1)]);
        scene.says("8\n9\n10");
        scene.ends();
        assert_eq!(scene.records(), [of_lines(&["8", "9"]), vec![dropped(1)]].concat());
        assert_eq!((scene.account.counts.lines, scene.account.counts.dropped), (10, 4));
        assert_eq!(scene.account.tail.last(100).len(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn levels_fields_and_formats_are_those_of_the_job() {
        let spec = OutputSpec {
            level: LogLevel::Error,
            format: Some(LogFormat::Json),
            fields: vec![("team".to_owned(), "db".to_owned())],
            ..OutputSpec::default()
        };
        let mut scene = Scene::new(spec, &LoggingSpec::default());
        scene.says("x\n");
        assert_eq!(
            scene.records(),
            [r#"{"job":"app","level":"error","msg":"x","pid":7,"stream":"stdout","team":"db""#]
        );
        let quiet = OutputSpec { level: LogLevel::Debug, ..OutputSpec::default() };
        let mut scene = Scene::new(quiet, &LoggingSpec::default());
        scene.says("x\n");
        assert_eq!(scene.records(), of_lines(&[]));
        assert_eq!(scene.account.tail.last(1).len(), 1, "it is remembered all the same");
    }
}
