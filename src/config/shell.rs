//! What is for a shell in a command line that is split at white space, without any shell: a list with one is shown instead.

/// The signs of a shell in a command line, each once, in their order.
pub fn signs(line: &str) -> Vec<String> {
    let mut signs = Vec::new();
    for (index, word) in line.split_ascii_whitespace().enumerate() {
        for sign in signs_of(word, index == 0) {
            if !signs.contains(&sign) {
                signs.push(sign);
            }
        }
    }
    signs
}

fn signs_of(word: &str, is_first: bool) -> Vec<String> {
    let mut signs: Vec<String> = Vec::new();
    let mut rest = word;
    // Such signs are at home in addresses, and in the values of options.
    let is_value = word.contains("://") || word.starts_with('-') || word.contains('=');
    while let Some(c) = rest.chars().next() {
        let pair = ["&&", "||"].into_iter().find(|pair| rest.starts_with(pair));
        let sign = match c {
            '&' | '|' if pair.is_some() => pair,
            '&' if word == "&" => Some("&"),
            '|' if !is_value => Some("|"),
            '>' if !is_value => Some(">"),
            '<' if !is_value => Some("<"),
            ';' if !is_value => Some(";"),
            '`' => Some("`"),
            '$' => variable(rest),
            _ => None,
        };
        signs.extend(sign.map(str::to_owned));
        rest = &rest[sign.map_or(c.len_utf8(), str::len)..];
    }
    if is_first && is_assignment(word) {
        signs.push(word.split_inclusive('=').next().unwrap_or(word).to_owned());
    }
    signs
}

/// `$NAME`, `${NAME` or `$(`, at the start of a text.
fn variable(text: &str) -> Option<&str> {
    let after = text.strip_prefix('$')?;
    if after.starts_with('(') {
        return Some("$(");
    }
    let name = after.strip_prefix('{').unwrap_or(after);
    let is_sign = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = name.find(|c| !is_sign(c)).unwrap_or(name.len());
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let brace = after.len() - name.len();
    let closes = usize::from(brace == 1 && name[length..].starts_with('}'));
    text.get(..1 + brace + length + closes)
}

/// `NAME=value`
fn is_assignment(word: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    word.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// The list that hands a command line to a shell. A lone command takes the shell's place, so that signals reach it.
pub fn list(line: &str) -> String {
    let line = line.trim();
    let script = script(line);
    let (shell, script) = script.unwrap_or(("sh", line));
    let is_lone = !signs(script).iter().any(|sign| ["&&", "||", "|", ";", "&"].contains(&sign.as_str()))
        && !script.starts_with("exec ")
        && !script.split_ascii_whitespace().next().is_some_and(is_assignment);
    let script = if is_lone { format!("exec {script}") } else { script.to_owned() };
    format!("[\"{shell}\", \"-c\", {}]", serde_json::Value::String(script))
}

/// The shell that a command line names itself, and what it is to run, without its quotes.
fn script(line: &str) -> Option<(&str, &str)> {
    let (shell, rest) = line.split_once(char::is_whitespace)?;
    let script = rest.trim_start().strip_prefix("-c")?;
    let name = shell.rsplit('/').next()?;
    if !["sh", "bash", "ash", "dash", "zsh", "ksh"].contains(&name) || !script.starts_with(char::is_whitespace) {
        return None;
    }
    let script = script.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| script.strip_prefix(quote)?.strip_suffix(quote));
    Some((shell, quoted.unwrap_or(script)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_a_shell_is_noticed() {
        for (line, want) in [
            ("setup && run", &["&&"][..]),
            ("a || b && c&&d", &["||", "&&"]),
            ("ps | grep x", &["|"]),
            ("ps|wc", &["|"]),
            ("echo hi >> /tmp/x 2>&1", &[">"]),
            ("cat </etc/passwd", &["<"]),
            ("echo a; echo b", &[";"]),
            ("echo $HOME ${NAME:-x} ${OTHER}", &["$HOME", "${NAME", "${OTHER}"]),
            ("kill $(cat /run/pid)", &["$("]),
            ("kill `cat /run/pid`", &["`"]),
            ("app &", &["&"]),
            ("MODE=fast app", &["MODE="]),
            ("--home=$HOME", &["$HOME"]),
            ("sh -c 'a && b'", &["&&"]),
        ] {
            assert_eq!(signs(line), want, "{line}");
        }
    }

    #[test]
    fn what_programs_take_themselves_is_left_alone() {
        for line in [
            "/bin/app --port 80",
            "curl -fs http://localhost/?a=1&b=2;c|d",
            "app --pattern=^a|b$ -Dx=<y> --filter=a>b",
            "grep ^x$ f",
            "echo $ 5$ $1 100% # ~ *",
            "/opt/a=b/run x=1",
            "",
        ] {
            assert_eq!(signs(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn the_list_says_the_same_with_a_shell() {
        for (line, want) in [
            ("setup && run", r#"["sh", "-c", "setup && run"]"#),
            (" echo $HOME ", r#"["sh", "-c", "exec echo $HOME"]"#),
            ("echo \"a\" > f", r#"["sh", "-c", "exec echo \"a\" > f"]"#),
            ("/bin/bash -c 'a && b'", r#"["/bin/bash", "-c", "a && b"]"#),
            ("sh -c \"echo $X\"", r#"["sh", "-c", "exec echo $X"]"#),
            ("A=1 app", r#"["sh", "-c", "A=1 app"]"#),
        ] {
            assert_eq!(list(line), want, "{line}");
        }
    }
}
