//! Configs with actions in every place that they are seen in: they come out with the same actions, and mean the same.

use super::*;

/// Environments that take each way through the blocks below.
const ENVIRONMENTS: [&[(&str, &str)]; 6] = [
    &[("PORT", "80"), ("WHO", "blue"), ("SECONDS", "7")],
    &[("PORT", "81"), ("WHO", "red"), ("SECONDS", "3"), ("A", "1")],
    &[("PORT", "82"), ("WHO", "green"), ("SECONDS", "4"), ("B", "x")],
    &[("PORT", "83"), ("WHO", "grey"), ("SECONDS", "5"), ("A", "1"), ("B", "2"), ("LIST", "one")],
    &[("PORT", "84"), ("WHO", "pink"), ("SECONDS", "6"), ("B", "yes"), ("LIST", "one,two,three")],
    &[("PORT", "85"), ("WHO", "white"), ("SECONDS", "9"), ("A", "8"), ("LIST", "pp,qq"), ("C", "c")],
];

/// The actions of a text, without what is around them.
fn actions_of(text: &str) -> Vec<&str> {
    let actions = template::actions("f", text.as_bytes()).unwrap();
    actions.into_iter().map(|action| &text[action]).collect()
}

#[track_caller]
fn keeps(config: &str) {
    for command in [&["app"][..], &[]] {
        // Without a command only the keys tell the version.
        let config =
            config.replacen("{ ", "{ tasks: [], ", usize::from(command.is_empty() && config.starts_with("{ ")));
        if command.is_empty() && !config.contains("tasks") {
            continue;
        }
        for environment in ENVIRONMENTS {
            means_the_same_in(&config, command, &environment.iter().copied().collect());
        }
        let written = migrated(&config, command).unwrap().text;
        for action in actions_of(&config) {
            assert!(written.contains(action), "{action}\n{config}\n{written}");
        }
    }
}

const WEB: &str = "{ name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'lo' }";
const API: &str = "{ name: 'api', port: 81, poll: 1, ttl: 2, interfaces: 'lo', health: '/bin/check' }";

#[test]
fn values_are_actions() {
    for value in [
        "{{ .PORT }}",
        "{{.PORT}}",
        "{{- .PORT -}}",
        "{{ .PORT }}0",
        "8{{ .SECONDS }}",
        "{{ .SECONDS }}{{ .SECONDS }}",
        "'{{ .PORT }}'",
        "\"{{ .PORT }}\"",
        "{{ if .A }}80{{ else }}81{{ end }}",
        "{{ if .A }} \"80\" {{ else }} 81 {{ end }}",
        "8{{ if .A }}0{{ else }}1{{ end }}",
        "{{ with .B }}80{{ else }}{{ .PORT }}{{ end }}",
        "{{ .PORT | default \"90\" }}",
        "{{ env \"PORT\" }}/* the port */",
        "{{ .PORT }} // the port\n",
        "{{ if .A }}{{ if .B }}1{{ else }}2{{ end }}{{ else }}3{{ end }}",
    ] {
        let config = |place: &str| place.replace('@', value);
        keeps(&config("{ services: [{ name: 'web', port: @ , poll: 1, ttl: 2, interfaces: 'lo' }] }"));
        keeps(&config("{ services: [{ name: 'web', poll: @, port: 80, ttl: @, interfaces: 'lo' }] }"));
        keeps(&config("{ stopTimeout: @, telemetry: { port: @ , interfaces: 'lo' } }"));
    }
    keeps("{ stopTimeout: {{ if .A }}80,{{ else if .B }}81,{{ else }}{{ .PORT }},{{ end }} preStart: 'x' }");
    keeps("{ preStart: {{ if .A }}'x',{{ else }}['y'],{{ end }} stopTimeout: {{ if .A }}1,{{ else }}2,{{ end }} }");
}

#[test]
fn values_of_every_kind_are_chosen() {
    for fields in [
        "preStart: {{ if .A }}[\"/bin/a\", \"x y\"]{{ else }}\"/bin/b c\"{{ end }}",
        "preStart: {{ if .A }}['/bin/a']{{ else }}['/bin/{{ .WHO }}', {{ if .B }}'x',{{ end }} 'y']{{ end }}",
        "{{ if .A }}preStart: 'x',{{ end }} {{ if .B }}postStop: 'y', preStop: ['z']{{ end }}",
        "{{ if .A }}preStart: 'x'{{ else }}onStart: 'y'{{ end }}",
        "{{ if .A }}preStart: 'x'{{ else if .B }}preStart: 'y'{{ end }}",
        "preStop: ['/bin/x' {{ range split \",\" .LIST }}, '{{ . }}'{{ end }}]",
        "preStart: ['{{ .WHO }}', {{ .PORT }}, {{ .PORT }}1 ]",
        "consul: {{ if .A }}'a:1'{{ else }}{ address: 'b:1', {{ if .B }}token: '{{ .B }}', {{ end }} scheme: 'http' }{{ end }}",
        "{{ if .A }}consul: 'a:1'{{ else }}consul: 'b:1'{{ end }}",
        "{{ if .A }}consul: 'a:1',{{ else }}zookeeper: { hosts: 'b:2181' },{{ end }}",
        "{{ if .A }}etcd: { endpoints: 'a:1' },{{ else if .B }}etcd: { endpoints: 'b:1', API: 2 }{{ end }}",
        "etcd: { endpoints: 'a:1', {{ if .A }}prefix: '/x',{{ end }} api: {{ if .B }}2{{ else }}3{{ end }} }",
        "{{ if .A }}logging: { level: 'DEBUG' }{{ end }}",
        "{{ if .A }}logging: { level: 'DEBUG' }{{ else }}logging: { format: 'json' }{{ end }}",
        "logging: { level: '{{ if .A }}DEBUG{{ else }}INFO{{ end }}', {{ if .B }}output: 'stderr',{{ end }} }",
        "logging: {{ if .A }}{ level: 'DEBUG' }{{ else }}{ format: 'text' }{{ end }}",
        "{{ if .A }}stopTimeout: 7,{{ end }}",
        "stopTimeout: 5, {{ if .A }}stopTimeout: 7,{{ end }} {{ if .B }}stopTimeout: {{ .SECONDS }}{{ end }}",
        "{{ if .A }}control: { socket: '/tmp/{{ .WHO }}' },{{ end }}",
        "{{ if .A }}telemetry: { port: 9090, interfaces: 'lo' }{{ end }}",
        "{{ if .A }}telemetry: { port: 9090, interfaces: 'lo' },{{ else }}telemetry: { port: {{ .PORT }}, interfaces: 'lo', tags: 'x' }{{ end }}",
        "{{- if .A -}} stopTimeout: 7, {{- end -}}",
        "// {{ if .A }}\nstopTimeout: 7,\n// {{ end }}\npreStart: 'x'",
        "/* {{ if .A }} */ stopTimeout: 7, /* {{ end }} */ preStart: 'x'",
        "preStart: 'x' /* none */ {{ if .A }} // why\n , stopTimeout: 7 {{ end }}",
        "preStart: 'a \n {{- if .A }} b{{ end }}'",
        "preStart: \"{{ if .A }}a {{ .A | default \"}\" }}{{ else }}b \\\" c{{ end }} d\"",
    ] {
        keeps(&format!("{{ {fields} }}"));
    }
}

#[test]
fn items_stand_in_blocks() {
    for items in [
        "{{ if .A }} @ {{ end }}",
        "{{ if .A }} @, {{ end }} #",
        "@ {{ if .A }}, # {{ end }}",
        "{{ if .A }} @ {{ else }} # {{ end }}",
        "{{ if .A }} @, # {{ else if .B }} # {{ end }}",
        "{{ if .A }}{{ if .B }} @ {{ else }} # {{ end }}{{ end }}",
        "{{- if .A -}}\n@,\n{{- end -}}\n#",
        "// {{ if .A }}\n@,\n// {{ end }}\n#",
        "# {{ with $.B }}{{ with $ }}, @{{ end }}{{ end }}",
        "{{/* what @ is */}} @ {{- /* and # */ -}} , #",
        "{{ if .A }}{{/* only now */}} @ {{ end }}",
        "{{ if .A }}{{ $x := .A }} @, {{ end }} #",
        "null, {{ if .A }} @ {{ end }}",
    ] {
        for (key, first, second) in [
            ("services", WEB, API),
            ("services", "{ name: '{{ .WHO }}', port: {{ .PORT }}, poll: 1, ttl: 2, interfaces: 'lo' }", WEB),
            (
                "coprocesses",
                "{ command: '/bin/a' }",
                "{ name: 'b', command: ['/bin/b', '{{ .WHO }}'], restarts: {{ if .A }}'never'{{ else }}'unlimited'{{ end }} }",
            ),
            (
                "tasks",
                "{ name: 'a', command: '/bin/a', frequency: '1h' }",
                "{ command: '/bin/b', frequency: '{{ .SECONDS }}s', timeout: '1s' }",
            ),
            (
                "backends",
                "{ name: 'db', poll: 3, onChange: '/bin/a' }",
                "{ name: 'cache', poll: {{ .SECONDS }}, onChange: ['b'], tag: 'x' }",
            ),
            (
                "telemetry",
                "{ name: 'a', help: 'h', type: 'gauge', poll: 5, check: 'x' }",
                "{ name: 'b', help: '{{ .WHO }}', type: 'counter', poll: 5, check: ['y'] }",
            ),
        ] {
            let list = items.replace('@', first).replace('#', second);
            keeps(&if key == "telemetry" {
                format!("{{ telemetry: {{ port: 9090, interfaces: 'lo', sensors: [{list}] }} }}")
            } else {
                format!("{{ {key}: [{list}] }}")
            });
        }
    }
}

#[test]
fn items_are_repeated() {
    for (fields, each) in [
        ("services: [@]", "{ name: 'x{{ . }}', port: {{ $.PORT }}, poll: 1, ttl: 2, interfaces: 'lo' }"),
        ("coprocesses: [@]", "{ name: '{{ . }}', command: ['/bin/x', '{{ . }}'] }"),
        ("tasks: [@]", "{ name: '{{ . }}', command: '/bin/{{ . }}', frequency: {{ $.SECONDS }} }"),
        ("backends: [@]", "{ name: '{{ . }}', poll: 1, onChange: 'x {{ . }}' }"),
        ("tasks: [@]", "{ command: '/bin/{{ . }}', frequency: 1 }"),
        ("coprocesses: [@]", "{ command: ['/bin/x', '{{ . }}'] }"),
        (
            "telemetry: { port: 1, interfaces: 'lo', sensors: [@] }",
            "{ name: 'x{{ . }}', help: 'h', type: 'gauge', poll: 5, check: 'x' }",
        ),
    ] {
        for around in [
            "{{ range split \",\" .LIST }} @, {{ end }}",
            "{{ range split \",\" .LIST }}{{ if ne . \"two\" }} @, {{ end }}{{ end }}",
            "{{ range $i, $e := split \",\" .LIST }}{{ if $i }},{{ end }} @ {{ end }}",
            "{{ range $i, $e := split \",\" .LIST -}}\n{{- if gt $i 0 }}, {{ end -}}\n @ \n{{- end }}",
            "{{ $list := split \",\" .LIST }}{{ range $list }}{{ $x := . }} @, {{ end }}",
            "{{ if .A }}{{ range split \",\" .LIST }} @, {{ end }}{{ end }}",
            "{{ range split \",\" .LIST }}{{ if eq . \"one\" }}{{ continue }}{{ end }} @, {{ end }}",
            "{{ $first := true }}{{ range split \",\" .LIST }}{{ if $first }}{{ $first = false }}{{ else }},{{ end }} @ {{ end }}",
        ] {
            keeps(&format!("{{ {} }}", fields.replace('@', around).replace('@', each)));
        }
    }
}

#[test]
fn fields_of_items_stand_in_blocks() {
    for fields in [
        "name: 'web', {{ if .A }}port: 443{{ else }}port: 80{{ end }}, poll: 1, ttl: 2, interfaces: 'lo'",
        "name: 'web', port: 80, {{ if .A }}poll: 1, ttl: 2{{ else if .B }}poll: 2, ttl: 3{{ else }}poll: 3, ttl: 4{{ end }}, interfaces: 'lo'",
        "name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'lo' {{ if .A }}, health: '/bin/check', timeout: '3s'{{ end }}",
        "name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'lo', {{ if .A }}health: ['/bin/check', '{{ .A }}'],{{ end }} timeout: '3s', {{ if .B }}tags: 'x'{{ end }}",
        "name: 'web', port: 80, poll: 1, ttl: 2, interfaces: ['{{ if .A }}lo{{ else }}eth0{{ end }}'], tags: [{{ if .B }}'b',{{ end }} 'c']",
        "name: 'web', port: 80, poll: 1, ttl: 2, {{ with .B }}interfaces: 'lo', tags: ['{{ . }}']{{ else }}interfaces: 'lo'{{ end }}",
        "name: {{ if .A }}'aa'{{ else }}'bb'{{ end }}, port: 80, poll: 1, ttl: 2, interfaces: 'lo'",
        "{{ if .A }}name: 'aa'{{ else }}name: 'bb'{{ end }}, port: 80, poll: 1, ttl: 2, interfaces: 'lo', health: 'x'",
        "{{ $p := .PORT }}name: 'web', port: {{ $p }}, poll: 1, ttl: 2, interfaces: 'lo'",
        "name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'lo', {{ if .A }}{{ $t := .A }}tags: ['{{ $t }}']{{ end }}",
        "name: 'web', {{ if .A }}{{ if .B }}port: 1,{{ end }}{{ end }} {{ if not .A }}port: 2,{{ end }} {{ if not .B }}port: 3,{{ end }} poll: 1, ttl: 2, interfaces: 'lo'",
        "name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'lo', tags: {{ if .A }}['a']{{ else }}'b'{{ end }}",
        "name: 'web', port: 80, poll: 1, ttl: 2, interfaces: 'lo', tags: [{{ range split \",\" .LIST }}\"{{ . }}\",{{ end }}]",
    ] {
        keeps(&format!("{{ services: [{{ {fields} }}] }}"));
        keeps(&format!(
            "{{ services: [{{ {fields} }}, {{ name: 'other', port: 1, poll: 1, ttl: 2, interfaces: 'lo' }}] }}"
        ));
    }
    for fields in [
        "coprocesses: [{ {{ if .A }}name: 'a',{{ end }} command: '/bin/x' }]",
        "coprocesses: [{ name: 'a', {{ if .A }}command: '/bin/x'{{ else }}command: ['y']{{ end }} {{ if .B }}, restarts: 'unlimited'{{ end }} }]",
        "tasks: [{ name: '{{ if .A }}a{{ end }}b', command: 'x', {{ if .A }}timeout: '1s',{{ end }} frequency: {{ if .B }}'1h'{{ else }}'2h'{{ end }} }]",
        "backends: [{ name: 'db', {{ if .A }}tag: 'x',{{ end }} poll: 3, onChange: {{ if .B }}'a'{{ else }}['b']{{ end }} }]",
        "telemetry: { interfaces: 'lo', {{ if .A }}port: 1{{ else }}port: 2{{ end }} {{ if .B }}, sensors: [{ name: 'a', help: 'h', type: 'gauge', poll: 5, check: 'x' }]{{ end }} }",
    ] {
        keeps(&format!("{{ {fields} }}"));
    }
}

#[test]
fn whole_lists_and_variables_stand_in_blocks() {
    for config in [
        "{ {{ if .A }}services: [@]{{ else }}services: [#]{{ end }} }",
        "{ services: {{ if .A }}[@]{{ else }}[#, @]{{ end }} }",
        "{ {{ if .A }}services: [@],{{ end }} {{ if .B }}coprocesses: [{ command: 'x' }]{{ end }} }",
        "{ services: [{{ if .A }}{ name: 'web', port: 1, poll: 1, ttl: 2, interfaces: 'lo' }{{ else }}@{{ end }}] }",
        "{ services: [{{ if .A }}@{{ end }}{{ if not .A }}{ name: 'web', port: 1, poll: 1, ttl: 2, interfaces: 'lo' }{{ end }}] }",
        "{{ $a := .A | default \"0\" }}{{ $p := .PORT }}\n{ services: [@, { name: 'xx', port: {{ $p }}, poll: 1, ttl: 2, interfaces: 'lo' }], stopTimeout: {{ $a }} }",
        "{ services: [{{ $p := .PORT }}{ name: 'xx', port: {{ $p }}, poll: 1, ttl: 2, interfaces: 'lo' }, {{ $p := .SECONDS }}{ name: 'yy', port: {{ $p }}, poll: 1, ttl: 2, interfaces: 'lo' }] }",
        "{{- $p := .PORT -}}\n{ services: [{ name: 'xx', port: {{ $p }}, poll: 1, ttl: 2, interfaces: 'lo' }] }",
        "{{ $p := 1 }}{{ if .B }}{{ $p = 2 }}{{ end }}{ stopTimeout: {{ $p }}, preStart: ['x', '{{ $p }}'] }",
        "{{ define \"x\" }}{{ . }}, y{{ end }}{ preStart: '/bin/x {{ template \"x\" .PORT }}' }",
        "{{/* a config */}}\n// a config\n{ stopTimeout: {{ .SECONDS }}, services: [@] }\n",
        "{ services: [@] {{/* the end */}} }",
        "{ stopTimeout: 5 }{{ if .A }}\n{{ end }}",
    ] {
        keeps(&config.replace('@', WEB).replace('#', API));
    }
}

#[test]
fn blocks_are_laid_out_in_place() {
    let config = "{ services: [\n {{ if .A }} @, {{/* the api */}} #, {{ else }} # {{ end }} ], tasks: [{{ range .L }}{ command: '{{ . }}', frequency: 1 },{{ end }}] }";
    let text = text(&config.replace('@', WEB).replace('#', API), &["app"]);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("{{") || line.contains("name: ")).collect();
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    assert_eq!(
        lines,
        [
            "{{ if .A }}",
            "name: \"web\",",
            "{{/* the api */}}",
            "name: \"api\",",
            "{{ else }}",
            "name: \"api\",",
            "{{ end }}",
            "name: \"app\",",
            "{{ range .L }}",
            "name: \"task-{{ . }}\",",
            "exec: \"{{ . }}\",",
            "{{ end }}",
        ],
        "{text}"
    );
}

#[test]
fn what_only_rendering_tells_is_refused_with_its_place() {
    for (config, says) in [
        ("{ services: {{ .A }} }", "app.json:1:13: only rendering tells what is in `services`: "),
        ("{ services: [{{ .A }}] }", "app.json:1:14: only rendering tells what `services[0]` is: "),
        ("{ tasks: [],\n {{ .A }} }", "app.json:2:2: an action stands for the name of a field, or for whole fields: "),
        ("{ tasks: [], telemetry: {{ .A }} }", "app.json:1:25: only rendering tells what is in `telemetry`: "),
        ("{ tasks: [], logging: {{ .A }} }", "app.json:1:23: only rendering tells what is in `logging`: "),
        ("{ tasks: [{ {{ .KEY }}: 1 }] }", "app.json:1:13: an action stands for the name of a field"),
        ("{ tasks: [{ '{{ .KEY }}': 1 }] }", "app.json:1:13: the name of a field is an action: "),
        ("{ tasks: [{ {{ range .A }}name: '{{ . }}',{{ end }} command: 'x', frequency: 1 }] }", "app.json:1:33: "),
        (
            "{ telemetry: { sensors: [{ namespace: 'a', name: {{ .A }}, help: 'h', type: 'gauge', poll: 5, check: 'x' }] } }",
            "app.json:1:1: `{{ .A }}` becomes a part of a text",
        ),
        (
            "{ preStart: 'x {{ $x := 1 }}', postStop: '{{ $x }}', tasks: [{ command: 'y {{ $x }}', frequency: 1 }], coprocesses: [{ command: '{{ $y := 1 }}', name: 'x' }], services: [{ name: '{{ $y }}', port: 1, poll: 1, ttl: 1 }, { name: 'b', port: 1, poll: 1, ttl: 1 }], telemetry: { port: '{{ $z := 5 }}' }, stopTimeout: '{{ $z }}' }",
            "app.json:1:1: an action depends on others: undefined variable `$z`",
        ),
    ] {
        let refused = migrated(config, &["app"]).unwrap_err();
        assert!(refused.starts_with(says) && refused.contains("-template"), "{config}: {refused}");
    }
}

/// Pieces of configs with blocks around them at random.
#[test]
fn random_templates_mean_the_same() {
    const AROUND: [&str; 8] = [
        "@",
        "{{ if .A }} @ {{ end }}",
        "{{ if .B }} @ {{ else }} {{ end }}",
        "{{- if and .A .B }} @ {{- end }}",
        "{{ if not .A }}{{/* x */}} @ {{ end }}",
        "{{ with .B }} @ {{ end }}",
        "{{ range split \",\" .LIST }} @ {{ end }}",
        "// {{ if .A }}\n @ \n// {{ end }}\n",
    ];
    const ITEMS: [(&str, &[&str]); 4] = [
        (
            "services",
            &[
                "{ name: 'web%', port: {{ $.PORT }}, poll: 1, ttl: 2, interfaces: 'lo' },",
                "{ name: 's%', {{ if $.A }}port: 1,{{ else }}port: 2,{{ end }} poll: 1, ttl: 2, interfaces: 'lo', health: 'x %' },",
            ],
        ),
        (
            "coprocesses",
            &[
                "{ name: 'c%', command: 'x %' },",
                "{ name: 'd%', {{ if $.B }}restarts: 3,{{ end }} command: ['y', {{ if $.A }}'a',{{ end }} '%'] },",
            ],
        ),
        (
            "tasks",
            &[
                "{ name: 't%', command: 'x %', frequency: 5 },",
                "{ name: 'u%', command: '{{ $.WHO }} %', frequency: 5, {{ if $.A }}timeout: '1s'{{ end }} },",
            ],
        ),
        (
            "backends",
            &[
                "{ name: 'b%', poll: {{ $.SECONDS }}, onChange: 'x %' },",
                "{ name: 'e%', poll: 1, {{ if $.B }}tag: '{{ $.B }}',{{ end }} onChange: ['y', '%'] },",
            ],
        ),
    ];
    let mut random = random();
    for _ in 0..300 {
        let mut number = 0;
        let mut fields = String::new();
        for (key, items) in ITEMS {
            let mut list = String::new();
            for _ in 0..random(4) {
                number += 1;
                let (around, inner) = (AROUND[random(AROUND.len())], AROUND[random(AROUND.len())]);
                let dot = if around.contains("range") || inner.contains("range") { "{{ . }}" } else { "" };
                // A condition within a range is one on the environment.
                let inner = inner.replace(" .A", " $.A").replace(" .B", " $.B").replace(" .LIST", " $.LIST");
                let name = if dot.is_empty() || inner.contains("with") {
                    format!("{number}")
                } else {
                    format!("{number}{dot}")
                };
                if around.contains("range") && (inner.contains("range") || inner.contains("with")) {
                    continue;
                }
                let item = items[random(items.len())].replace('%', &name);
                list.push_str(&around.replace('@', &inner.replace('@', &item)));
            }
            fields.push_str(&format!("{key}: [{list}],\n"));
        }
        let config = format!("{{ {fields} }}");
        let environment = ENVIRONMENTS[random(ENVIRONMENTS.len())].iter().copied().collect();
        // Where a trim joins a line to the comment before it, some of it is lost in the old config, too.
        let joins = config.contains("{{ end }}\n{{- ") || config.contains("}}\n {{- ");
        if joins && (migrated(&config, &["app"]).is_err() || loaded_in(&config, &["app"], &environment).is_err()) {
            continue;
        }
        means_the_same_in(&config, &["app"], &environment);
    }
}
