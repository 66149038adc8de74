//! The functions of templates: Go's own and ContainerPilot's, each with the arguments it takes.
//! Not here: the text work they share (`text`, `verbs`, `pattern`).

use std::cmp::Ordering;

use super::{
    text,
    value::{Text, Value},
    verbs,
    work::Context,
};

/// More elements than that are a mistake, and would only fill the memory.
const MAX_LOOP: u64 = 1_000_000;

type Outcome<'e> = Result<Value<'e>, String>;

/// A function by name.
#[derive(Debug)]
pub struct Function {
    /// As templates call it.
    pub name: &'static str,
    /// The types of its arguments.
    takes: &'static [Type],
    /// Whether more arguments of the last type, or one less, are fine too.
    variadic: bool,
    /// Whether an argument may be missing on purpose: it is tested, compared or replaced.
    pub takes_missing: bool,
    /// For `and` and `or`: the truth of an argument that decides alone.
    pub stops_at: Option<bool>,
    /// Calls it with arguments that were checked; gives a value or what is wrong with them.
    pub run: for<'e> fn(&Context<'e>, &[Value<'e>]) -> Outcome<'e>,
}

/// What an argument must be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    Any,
    Str,
    List,
}

use Type::{Any, List, Str};

const fn plain(
    name: &'static str,
    takes: &'static [Type],
    run: for<'e> fn(&Context<'e>, &[Value<'e>]) -> Outcome<'e>,
) -> Function {
    Function { name, takes, variadic: false, takes_missing: false, stops_at: None, run }
}

const fn variadic(
    name: &'static str,
    takes: &'static [Type],
    run: for<'e> fn(&Context<'e>, &[Value<'e>]) -> Outcome<'e>,
) -> Function {
    Function { name, takes, variadic: true, takes_missing: false, stops_at: None, run }
}

const fn testing(function: Function) -> Function {
    Function { takes_missing: true, ..function }
}

static FUNCTIONS: [Function; 27] = [
    Function { stops_at: Some(false), ..testing(variadic("and", &[Any, Any], last)) },
    Function { stops_at: Some(true), ..testing(variadic("or", &[Any, Any], last)) },
    testing(plain("not", &[Any], |_, args| Ok(Value::Bool(!args[0].is_true())))),
    testing(plain("len", &[Any], len)),
    variadic("index", &[Any, Any], index),
    variadic("slice", &[Any, Any], slice),
    variadic("call", &[Any, Any], |_, args| Err(format!("a {} is not a function", args[0].type_name()))),
    variadic("print", &[Any], |work, args| work.made(verbs::sprint(args, work.room())).map(Value::text)),
    variadic("println", &[Any], |work, args| work.made(verbs::sprintln(args, work.room())).map(Value::text)),
    variadic("printf", &[Str, Any], |work, args| {
        work.made(verbs::sprintf(bytes(&args[0]), &args[1..], work.room())).map(Value::text)
    }),
    variadic("html", &[Any], |work, args| escaped(work, args, text::html)),
    variadic("js", &[Any], |work, args| escaped(work, args, text::js)),
    variadic("urlquery", &[Any], |work, args| escaped(work, args, text::urlquery)),
    testing(variadic("eq", &[Any, Any], |_, args| equal_any(args).map(Value::Bool))),
    testing(plain("ne", &[Any, Any], |_, args| equal_any(args).map(|equal| Value::Bool(!equal)))),
    testing(plain("lt", &[Any, Any], |_, args| {
        order(args).map(|order| Value::Bool(order.is_some_and(Ordering::is_lt)))
    })),
    testing(plain("le", &[Any, Any], |_, args| {
        order(args).map(|order| Value::Bool(order.is_some_and(Ordering::is_le)))
    })),
    testing(plain("gt", &[Any, Any], |_, args| {
        order(args).map(|order| Value::Bool(!order.is_some_and(Ordering::is_le)))
    })),
    testing(plain("ge", &[Any, Any], |_, args| {
        order(args).map(|order| Value::Bool(!order.is_some_and(Ordering::is_lt)))
    })),
    testing(plain("default", &[Any, Any], default)),
    plain("required", &[Str], required),
    plain("env", &[Str], |work, args| {
        let value = Value::variable(work.env, bytes(&args[0]));
        work.handle(value.weight())?;
        Ok(value)
    }),
    plain("split", &[Str, Str], |work, args| split(work, bytes(&args[0]), bytes(&args[1]))),
    plain("join", &[Str, List], |work, args| join(work, bytes(&args[0]), &args[1])),
    plain("replaceAll", &[Str, Str, Str], |work, args| {
        replace(work, bytes(&args[0]), bytes(&args[1]), bytes(&args[2])).map(Value::text)
    }),
    plain("regexReplaceAll", &[Str, Str, Str], |work, args| {
        let [pattern, to, value] = [0, 1, 2].map(|number| bytes(&args[number]));
        let pattern = work.pattern(pattern)?;
        work.spend(pattern.steps(value.len()))?;
        work.made(pattern.replace_all(to, value, work.room())).map(Value::text)
    }),
    variadic("loop", &[Any], count),
];

/// The names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// The function of that name.
pub fn find(name: &[u8]) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name.as_bytes() == name)
}

impl Function {
    /// Whether it takes so many arguments.
    pub fn check_count(&self, count: usize) -> Result<(), String> {
        let least = self.takes.len() - usize::from(self.variadic);
        if count == least || (self.variadic && count > least) {
            return Ok(());
        }
        let some = if self.variadic { "at least " } else { "" };
        Err(format!("wrong number of arguments for `{}`: want {some}{least}, got {count}", self.name))
    }

    /// Whether a value can be its argument of that index.
    pub fn check_type(&self, index: usize, value: &Value<'_>) -> Result<(), String> {
        let wanted = match self.takes.get(index).or(self.takes.last()) {
            Some(Str) if !matches!(value, Value::Text(_)) => "string",
            // Go's nil can be a list, but no string.
            Some(List) if !matches!(value, Value::Texts(_) | Value::Nil) => "list of strings",
            Some(Any | Str | List) | None => return Ok(()),
        };
        Err(format!("argument {} of `{}` must be a {wanted}, not {}", index + 1, self.name, value.type_name()))
    }
}

/// The bytes of an argument that was checked to be a string.
fn bytes<'a>(value: &'a Value<'_>) -> &'a [u8] {
    if let Value::Text(text) = value { text } else { b"" }
}

fn last<'e>(_: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    Ok(args.last().cloned().unwrap_or(Value::Nil))
}

/// What the escaping functions escape: a lone string as it is, anything else as it would be printed.
fn printed(args: &[Value<'_>], room: usize) -> Vec<u8> {
    // Here, unlike for `print`, nil is what a missing value looks like in the output.
    let mut shown = args.to_vec();
    for value in &mut shown {
        if let Value::Nil = value {
            *value = Value::text(&b"<no value>"[..]);
        }
    }
    verbs::sprint(&shown, room)
}

/// Each byte may become several.
fn escaped<'e>(work: &Context<'e>, args: &[Value<'e>], escape: fn(&[u8]) -> Vec<u8>) -> Outcome<'e> {
    const LONGEST: usize = 6;
    let printed = printed(args, work.room());
    work.make(printed.len().saturating_mul(LONGEST))?;
    Ok(Value::text(escape(&printed)))
}

fn len<'e>(_: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    let length = args[0].len().ok_or_else(|| format!("a {} has no length", args[0].type_name()))?;
    i64::try_from(length).map(Value::Int).map_err(|error| error.to_string())
}

fn index<'e>(_: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    let mut item = args[0].clone();
    if let Value::Nil = item {
        return Err("nil has no elements".into());
    }
    for key in &args[1..] {
        item = match &item {
            Value::Env(env) => {
                let Value::Text(name) = key else {
                    return Err(format!("the name of a variable is a string, not {}", key.type_name()));
                };
                Value::variable(env, name)
            }
            Value::Text(_) | Value::Texts(_) | Value::Ints(_) => {
                let position = position(key, item.len().unwrap_or(0))?;
                item.element(position).ok_or_else(|| format!("index out of range: {position}"))?
            }
            Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Byte(_) | Value::Float(_) | Value::Complex(..) => {
                return Err(format!("a {} has no elements", item.type_name()));
            }
        };
    }
    Ok(item)
}

fn slice<'e>(_: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    let (item, bounds) = (&args[0], &args[1..]);
    if bounds.len() > 3 {
        return Err(format!("too many indexes: {}", bounds.len()));
    }
    let places = |length: usize| {
        let mut places = [0, length, length];
        for (place, bound) in places.iter_mut().zip(bounds) {
            *place = position(bound, length)?;
        }
        let [from, to, capacity] = places;
        let in_order = from <= to && to <= capacity;
        in_order.then_some(from..to).ok_or_else(|| format!("the indexes are not in order: {from}, {to}, {capacity}"))
    };
    match item {
        Value::Text(_) if bounds.len() == 3 => Err("a string cannot be sliced with three indexes".into()),
        Value::Text(text) => Ok(Value::text(&text[places(text.len())?])),
        Value::Texts(list) => Ok(Value::Texts(list[places(list.len())?].into())),
        Value::Ints(list) => Ok(Value::Ints(list[places(list.len())?].into())),
        Value::Nil
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Byte(_)
        | Value::Float(_)
        | Value::Complex(..)
        | Value::Env(_) => Err(format!("a {} cannot be sliced", item.type_name())),
    }
}

/// An index of at most `limit`.
fn position(index: &Value<'_>, limit: usize) -> Result<usize, String> {
    let number = index.whole().ok_or_else(|| format!("an index cannot be a {}", index.type_name()))?;
    let place = usize::try_from(number).ok().filter(|place| *place <= limit);
    place.ok_or_else(|| format!("index out of range: {number}"))
}

/// The first argument equals any of the others.
fn equal_any(args: &[Value<'_>]) -> Result<bool, String> {
    if args.len() == 1 {
        return Err("missing argument for comparison".into());
    }
    for other in &args[1..] {
        if equal(&args[0], other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Nil, _) | (_, Value::Nil) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Complex(re, im), Value::Complex(re2, im2)) => re == re2 && im == im2,
        _ => order(&[a.clone(), b.clone()])? == Some(Ordering::Equal),
    })
}

/// The order of two values of one kind. Numbers are of one kind only if both are whole or both are not.
fn order(args: &[Value<'_>]) -> Result<Option<Ordering>, String> {
    match (&args[0], &args[1]) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Byte(a), Value::Byte(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Byte(b)) => Ok(Some(a.cmp(&i64::from(*b)))),
        (Value::Byte(a), Value::Int(b)) => Ok(Some(i64::from(*a).cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (a, b) => Err(format!("a {} and a {} cannot be compared", a.type_name(), b.type_name())),
    }
}

/// 3.8: only a string that is not empty counts as set; the default is printed, whatever its type.
fn default<'e>(work: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    match bytes(&args[1]) {
        b"" => work.made(verbs::sprintf(b"%v", &args[..1], work.room())).map(Value::text),
        _ => Ok(args[1].clone()),
    }
}

/// A variable that must be there. As for `default`, an empty one counts as missing.
fn required<'e>(work: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    let name = bytes(&args[0]);
    match work.env.get(name) {
        Some(value) if !value.is_empty() => {
            let value = Value::text(value);
            work.handle(value.weight())?;
            Ok(value)
        }
        Some(_) => Err(format!("the variable `{}` is empty", String::from_utf8_lossy(name))),
        None => Err(format!("the variable `{}` is not set", String::from_utf8_lossy(name))),
    }
}

/// 3.8: the whole value is trimmed, its parts are not; an empty one has no parts.
fn split<'e>(work: &Context<'e>, separator: &[u8], value: &[u8]) -> Outcome<'e> {
    /// What each part takes beside its bytes.
    const PART: usize = 64;
    let value = trimmed(value);
    if value.is_empty() {
        return Ok(Value::Texts([].into()));
    }
    if separator.is_empty() {
        return explode(work, value);
    }
    search(work, value, separator)?;
    let count = occurrences(value, separator).count() + 1;
    work.make(count.saturating_mul(PART))?;
    let mut parts: Vec<Text> = Vec::with_capacity(count);
    let mut start = 0;
    for at in occurrences(value, separator) {
        parts.push(value[start..at].into());
        start = at + separator.len();
    }
    parts.push(value[start..].into());
    Ok(Value::Texts(parts.into()))
}

/// Without white space at both ends.
fn trimmed(value: &[u8]) -> &[u8] {
    let runes: Vec<_> = text::runes(value).collect();
    let blank = |(c, raw): &(char, &[u8])| c.is_whitespace() && !text::is_broken(*c, raw);
    let Some(from) = runes.iter().position(|rune| !blank(rune)) else {
        return b"";
    };
    let to = runes.iter().rposition(|rune| !blank(rune)).unwrap_or(from);
    let width = |runes: &[(char, &[u8])]| runes.iter().map(|(_, raw)| raw.len()).sum::<usize>();
    &value[width(&runes[..from])..width(&runes[..=to])]
}

/// The runes of a value. As in Go, a byte that is no UTF-8 becomes a replacement character, but the last one stays.
fn explode<'e>(work: &Context<'e>, value: &[u8]) -> Outcome<'e> {
    const RUNE: usize = 64;
    work.make(value.len().saturating_mul(RUNE))?;
    let runes: Vec<_> = text::runes(value).collect();
    let last = runes.len().saturating_sub(1);
    let part = |(number, (c, raw)): (usize, &(char, &[u8]))| {
        let is_replaced = number < last && text::is_broken(*c, raw);
        if is_replaced { Text::from("\u{fffd}".as_bytes()) } else { Text::from(*raw) }
    };
    Ok(Value::Texts(runes.iter().enumerate().map(part).collect()))
}

fn join<'e>(work: &Context<'e>, separator: &[u8], list: &Value<'e>) -> Outcome<'e> {
    let Value::Texts(parts) = list else { return Ok(Value::text(&b""[..])) };
    let lengths: usize = parts.iter().map(|part| part.len()).sum();
    work.make(lengths.saturating_add(separator.len().saturating_mul(parts.len())))?;
    Ok(Value::text(parts.join(separator)))
}

fn replace(work: &Context<'_>, from: &[u8], to: &[u8], value: &[u8]) -> Result<Vec<u8>, String> {
    search(work, value, from)?;
    let count = if from.is_empty() { text::runes(value).count() + 1 } else { occurrences(value, from).count() };
    work.make(value.len().saturating_add(to.len().saturating_mul(count)))?;
    let mut out = Vec::with_capacity(value.len());
    if from.is_empty() {
        for (_, raw) in text::runes(value) {
            out.extend(to);
            out.extend(raw);
        }
        out.extend(to);
        return Ok(out);
    }
    let mut start = 0;
    for at in occurrences(value, from) {
        out.extend(&value[start..at]);
        out.extend(to);
        start = at + from.len();
    }
    out.extend(&value[start..]);
    Ok(out)
}

/// Counts what a search takes: at worst each place is compared with all of the word.
fn search(work: &Context<'_>, text: &[u8], word: &[u8]) -> Result<(), String> {
    work.handle(text.len().saturating_mul(4 + word.len() / 8))
}

/// Where a word, which is not empty, stands in a text, without overlaps.
fn occurrences<'a>(text: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let mut start = 0;
    std::iter::from_fn(move || {
        let at = start + text.get(start..)?.windows(word.len()).position(|window| window == word)?;
        start = at + word.len();
        Some(at)
    })
}

/// 3.8: `loop 3` is 0 1 2, `loop 2 5` is 2 3 4, `loop 5 2` is 5 4 3; strings of digits will do.
fn count<'e>(work: &Context<'e>, args: &[Value<'e>]) -> Outcome<'e> {
    let numbers: Vec<i64> = args.iter().map(whole).collect::<Result<_, _>>()?;
    let (start, stop) = match numbers[..] {
        [stop] => (0, stop),
        [start, stop] => (start, stop),
        _ => return Err(format!("wrong number of arguments: want 1 or 2, got {}", numbers.len())),
    };
    if start.abs_diff(stop) > MAX_LOOP {
        return Err(format!("more than {MAX_LOOP} elements"));
    }
    work.make(usize::try_from(start.abs_diff(stop)).unwrap_or(usize::MAX).saturating_mul(16))?;
    let list = if start <= stop { (start..stop).collect() } else { (stop + 1..=start).rev().collect() };
    Ok(Value::Ints(list))
}

fn whole(value: &Value<'_>) -> Result<i64, String> {
    if let Value::Text(text) = value {
        let number = std::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok());
        // The text may be a secret that was meant for something else: it is not shown.
        return number.ok_or_else(|| "a string that is not a whole number".to_owned());
    }
    value.whole().ok_or_else(|| format!("a {} is not a whole number", value.type_name()))
}
