//! Whole templates: corners of the language that the conformance suite leaves open, and that no input makes us panic.

use super::{Environment, actions, render};

/// The rendered text, or the message.
fn rendered(text: &str) -> String {
    let env: Environment = [("A", "a"), ("LIST", "x,y,z"), ("SIGNS", "a=b=c")].into_iter().collect();
    match render("cp.json5", text.as_bytes(), &env) {
        Ok(out) => String::from_utf8_lossy(&out).into_owned(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn fails(text: &str, place: &str) {
    let out = rendered(text);
    assert!(out.starts_with(&format!("cp.json5:{place}: cannot render the template: ")), "{text}: {out}");
}

#[test]
fn values_keep_all_their_equals_signs() {
    assert_eq!(rendered("{{ .SIGNS }} {{ env `SIGNS` }} {{ index . `SIGNS` }}"), "a=b=c a=b=c a=b=c");
}

#[test]
fn bytes_that_are_not_utf8_pass_through() {
    let env: Environment = [(&b"RAW"[..], &b"\xff\xfe"[..])].into_iter().collect();
    let out = render("t", b"\xc3{{ .RAW }} {{ .RAW | split `` | join `-` }}", &env);
    assert_eq!(out.expect("valid"), b"\xc3\xff\xfe \xef\xbf\xbd-\xfe");
}

#[test]
fn first_of_two_variables_of_one_name_counts() {
    let env: Environment = [("A", "1"), ("A", "2")].into_iter().collect();
    assert_eq!(render("t", b"{{ .A }}", &env).expect("valid"), b"1");
}

#[test]
fn messages_name_line_and_column_in_characters() {
    fails("a\né {{ nope }}", "2:6");
    fails("{{ .A\n  | print 1\n  | index 5 }}", "3:5");
    fails("{{ define `x` }}\n{{ index nil 1 }}{{ end }}{{ template `x` }}", "2:4");
    fails("\n{{ if .A }}\n\n", "2:4");
    fails("\n{{ .A\n\n", "2:1");
}

#[test]
fn actions_are_found_with_their_braces() {
    let text = "a {{- .A | print `}}` -}} b{{/* c */}}{{ if .A }}\n{{ end }}";
    let found: Vec<&str> = actions("t", text.as_bytes()).unwrap().into_iter().map(|range| &text[range]).collect();
    assert_eq!(found, ["{{- .A | print `}}` -}}", "{{/* c */}}", "{{ if .A }}", "{{ end }}"]);
    assert!(actions("t", b"{{ if .A }}").is_err());
}

#[test]
fn break_leaves_the_blocks_within_its_loop() {
    let text = "{{ range loop 5 }}{{ with . }}{{ if eq . 3 }}{{ break }}{{ end }}{{ . }}{{ end }}{{ end }}{{ .A }}";
    assert_eq!(rendered(text), "12a");
    let text =
        "{{ range loop 3 }}{{ $x := . }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ $x }}{{ else }}!{{ end }}{{ .A }}";
    assert_eq!(rendered(text), "02a");
    assert_eq!(rendered("{{ range loop 2 }}{{ range loop 0 }}{{ else }}{{ break }}{{ end }}x{{ end }}"), "xx");
    fails("{{ range loop 1 }}{{ else }}{{ break }}{{ end }}", "1:32");
}

#[test]
fn else_if_chains_end_together() {
    let text = "{{ if 0 }}1{{ else if $x := 0 }}2{{ else if not $x }}3{{ else }}4{{ end }}5";
    assert_eq!(rendered(text), "35");
}

#[test]
fn template_without_data_has_nil_as_dot() {
    assert_eq!(
        rendered("{{ define `t` }}{{ . }}{{ .X }}{{ print . }}{{ end }}{{ template `t` }}"),
        "<no value><no value><nil>"
    );
}

#[test]
fn empty_definition_replaces_none() {
    assert_eq!(rendered("{{ define `t` }}1{{ end }}{{ define `t` }} {{ end }}{{ template `t` }}"), "1");
    fails("{{ define `t` }}1{{ end }}{{ define `t` }}2{{ end }}", "1:37");
}

#[test]
fn variables_end_with_their_block() {
    fails("{{ if 1 }}{{ $x := 1 }}{{ end }}{{ $x }}", "1:36");
    fails("{{ $x := 1 }}{{ define `t` }}{{ $x }}{{ end }}", "1:33");
    assert_eq!(rendered("{{ $e := 0 }}{{ range $e = loop 3 }}{{ end }}{{ $e }}"), "2");
}

#[test]
fn recursion_is_as_deep_as_in_go_but_ends() {
    let text = "{{ define `t` }}{{ if . }}{{ template `t` (slice . 1) }}{{ end }}{{ end }}{{ template `t` (printf `%9000d` 1) }}ok";
    assert_eq!(rendered(text), "ok");
    fails("{{ define `t` }}{{ template `t` }}{{ end }}{{ template `t` }}", "1:29");
}

#[test]
fn absurd_nesting_is_refused_or_rendered_on_a_small_stack() {
    let texts = [
        format!("{{{{ {}1{} }}}}", "(".repeat(250), ")".repeat(250)),
        format!("{{{{ {}1{} }}}}", "(print ".repeat(50_000), ")".repeat(50_000)),
        format!("{}{}", "{{ if 1 }}".repeat(50_000), "{{ end }}".repeat(50_000)),
        format!("{}{}", "{{ if 0 }}{{ else if 1 }}".repeat(20_000), "{{ end }}".repeat(20_000)),
        "{{ block `b` . }}".repeat(20_000),
        format!("{{{{ .A{} }}}}", ".B".repeat(50_000)),
        format!("{{{{ 1{} }}}}", " | print".repeat(50_000)),
    ];
    // What a thread gets by default.
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let done = small.spawn(move || texts.iter().map(|text| rendered(text).len()).collect::<Vec<_>>());
    done.expect("a thread starts").join().expect("no panic and no overflow");
}

#[test]
fn nothing_makes_it_panic() {
    const WORDS: [&str; 84] = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        "{{ ",
        " }}",
        " ",
        "\n",
        "(",
        ")",
        "|",
        ":=",
        "=",
        ",",
        ".",
        ".A",
        ".LIST",
        ".NOPE",
        "$",
        "$x",
        "$y",
        "if ",
        "else",
        "else if ",
        "end",
        "range ",
        "with ",
        "define `t`",
        "template `t`",
        "block `t` .",
        "break",
        "continue",
        "{{ end }}",
        "{{ else }}",
        "{{ range $x, $y := . }}",
        "{{ if .A }}",
        "{{/*",
        "*/}}",
        "nil",
        "true",
        "0",
        "1",
        "-7",
        "2.5",
        "1e300",
        "3i",
        "9223372036854775807",
        "-9223372036854775808",
        "'x'",
        "\"a\\n\"",
        "`%`",
        "\"%[2]*.[1]*f%x\"",
        "printf ",
        "print ",
        "println ",
        "html ",
        "js ",
        "urlquery ",
        "index ",
        "slice ",
        "len ",
        "call ",
        "and ",
        "or ",
        "not ",
        "eq ",
        "ne ",
        "lt ",
        "ge ",
        "default ",
        "env ",
        "split ",
        "join ",
        "replaceAll ",
        "regexReplaceAll ",
        "loop ",
        "\"(a*)|[\"",
        "\"$1\"",
        "\"%+#0 9.9v\"",
        "(loop 3)",
        "(split `,` .LIST)",
        "é",
        "\u{0}",
        "\\",
    ];
    let seed: u64 = 0x5eed_c0de_2024_0001;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits fit") % below
    };
    let env: Environment = [("A", "a"), ("LIST", "x,y,z")].into_iter().collect();
    for round in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..random(24) {
            match random(12) {
                // A byte of any kind, now and then.
                0 => text.push(u8::try_from(random(256)).expect("below 256")),
                1..=4 => text
                    .extend(format!("{{{{ {}{} }}}}", WORDS[random(WORDS.len())], WORDS[random(WORDS.len())]).bytes()),
                _ => text.extend(WORDS[random(WORDS.len())].bytes()),
            }
        }
        let outcome = std::panic::catch_unwind(|| render("t", &text, &env));
        assert!(outcome.is_ok(), "round {round}: {:?}", String::from_utf8_lossy(&text));
        if let Err(error) = outcome.expect("checked") {
            assert!(error.line >= 1 && error.column >= 1);
        }
    }
}

#[test]
fn corners_are_those_of_go_1_19() {
    fails("{{/*/}}x", "1:1");
    assert_eq!(rendered("{{/*/ y */}}x"), "x");
    assert_eq!(rendered("{{/**/}}x"), "x");
    assert_eq!(rendered("{{ printf `%.` 2.5 }} {{ printf `%5.` 2.5 }}"), "%!.(float64=2.5) %!.(float64=  2.5)");
    assert_eq!(rendered("{{ regexReplaceAll `(?)a` `x` `aA` }}"), "xA");
}

/// Whatever a template does, it ends, and what it makes has a limit.
#[test]
fn work_is_limited_and_the_place_told() {
    const DOUBLED: &str = "{{ $x := printf `%1000000d` 1 }}{{ range loop 100 }}{{ $x = @ }}{{ end }}";
    let doubled = |with: &str| DOUBLED.replace('@', with);
    for (text, place) in [
        ("{{ range loop 1000000 }}{{ range loop 1000000 }}x{{ end }}{{ end }}".to_owned(), "1:"),
        ("{{ define `x` }}{{ template `x` }}{{ end }}\n{{ template `x` }}".to_owned(), "1:"),
        ("{{ define `x` }}{{ range loop 9 }}{{ template `x` }}{{ end }}{{ end }}\n{{ template `x` }}".to_owned(), "1:"),
        ("\n {{ range loop 1000 }}{{ printf `%1000000d` 1 }}{{ end }}".to_owned(), "2:26"),
        ("{{ printf `@` 1 }}".replace('@', &"%1000000[1]d".repeat(1000)), "1:4"),
        ("{{ range loop 100000 }}{{ printf `%.1000000f` 1.5 }}{{ end }}".to_owned(), "1:"),
        (doubled("print $x $x"), "1:"),
        (doubled("printf `%s%s` $x $x"), "1:"),
        (doubled("replaceAll ` ` `  ` $x"), "1:"),
        (doubled("replaceAll `` $x $x"), "1:"),
        (doubled("regexReplaceAll ` ` $x $x"), "1:"),
        (doubled("regexReplaceAll `.*` `$0$0` $x"), "1:"),
        (doubled("join $x (split `,` `,,`)"), "1:"),
        ("{{ $x := printf `%1000000d` 1 }}{{ range loop 9999 }}{{ $y := replaceAll (slice $x 500000) `` $x }}{{ end }}".to_owned(), "1:"),
        (doubled("html $x"), "1:"),
        (doubled("urlquery $x"), "1:"),
        (doubled("printf `%v` (split `` $x)"), "1:"),
        (doubled("printf `%1000000v` (loop 1000000)"), "1:"),
        ("{{ range loop 100000 }}{{ regexReplaceAll (print `a{` . `}`) `` `a` }}{{ end }}".to_owned(), "1:"),
        ("{{ $x := printf `%100000d` 1 }}{{ range loop 100000 }}{{ $y := regexReplaceAll `(x+x+)+y` `` $x }}{{ end }}".to_owned(), "1:"),
        ("{{ $x := printf `%1000000d` 1 }}{{ range loop 100000 }}{{ if eq $x $x }}{{ end }}{{ end }}".to_owned(), "1:"),
        ("{{ $x := loop 1000000 }}{{ range loop 100000 }}{{ $y := slice $x 1 }}{{ end }}".to_owned(), "1:"),
        ("{{ $x := loop 1000000 }}{{ range loop 100000 }}{{ $y := loop 1000000 }}{{ end }}".to_owned(), "1:"),
    ] {
        let out = rendered(&text);
        let text = &text[..text.len().min(100)];
        assert!(out.len() < 1000, "{text}: {} bytes", out.len());
        let is_limit = out.contains(": rendering ") || out.contains("templates call each other");
        assert!(out.starts_with(&format!("cp.json5:{place}")) && is_limit, "{text}: {out}");
    }
    let most = "{{ $x := printf `%1000000d` 1 }}{{ range loop 67 }}{{ $x }}{{ end }}";
    assert_eq!(rendered(most).len(), 67_000_000);
}
