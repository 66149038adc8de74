// Compares ContainerPilot's templates with Go's: see scripts/template-difference. The standard library alone.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"
)

// What the environment of every template holds.
var environment = map[string]string{
	"A": "a", "EMPTY": "", "NUMBER": "42", "LIST": " one,two, three ", "SIGNS": "a=b=c", "UNICODE": "é日\u2028x",
	"RAW": "a\xff\xfeb\xff", "QUOTES": `"'<&>\`, "LINES": "x\ny\r\n\tz",
}

// The functions that version 3.8 adds to Go's own.
var functions = template.FuncMap{
	"default": func(otherwise, value interface{}) string {
		if text, ok := value.(string); ok && text != "" {
			return text
		}
		return fmt.Sprintf("%v", otherwise)
	},
	"env": func(name string) string { return environment[name] },
	"split": func(separator, value string) []string {
		value = strings.TrimSpace(value)
		if value == "" {
			return nil
		}
		return strings.Split(value, separator)
	},
	"join":       func(separator string, parts []string) string { return strings.Join(parts, separator) },
	"replaceAll": func(from, to, value string) string { return strings.ReplaceAll(value, from, to) },
	"regexReplaceAll": func(pattern, to, value string) (string, error) {
		expression, err := regexp.Compile(pattern)
		if err != nil {
			return "", err
		}
		return expression.ReplaceAllString(value, to), nil
	},
	"loop": func(bounds ...interface{}) ([]int, error) {
		var numbers []int
		for _, bound := range bounds {
			number, err := strconv.Atoi(fmt.Sprint(bound))
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, number)
		}
		var from, to int
		switch len(numbers) {
		case 1:
			to = numbers[0]
		case 2:
			from, to = numbers[0], numbers[1]
		default:
			return nil, errors.New("loop takes one number or two")
		}
		var list []int
		for ; from < to; from++ {
			list = append(list, from)
		}
		for ; from > to; from-- {
			list = append(list, from)
		}
		return list, nil
	},
}

// Makes templates.
type maker struct {
	*rand.Rand
	variables []string
	// What the dot is, unless that is the environment.
	dot string
}

func (m *maker) one(choices ...string) string { return choices[m.Intn(len(choices))] }

// A string constant.
func (m *maker) text() string {
	pieces := []string{"", "a", ",", "é", "日", "one", "=", " ", "%d", "%.", "\\n", "\\xff", "x", "\\u2028", "$1"}
	text := ""
	for n := m.Intn(3); n >= 0; n-- {
		text += m.one(pieces...)
	}
	return `"` + text + `"`
}

func (m *maker) format() string {
	format := ""
	for n := m.Intn(3); n >= 0; n-- {
		format += m.one("", "x", "é") + "%" + m.one("", "", "+", "-", "#", " ", "0", "[1]", "[2]") +
			m.one("", "", "5", "12", "*", "08") + m.one("", "", ".", ".2", ".0", ".*") +
			m.one("v", "d", "s", "q", "x", "X", "t", "f", "g", "e", "c", "U", "b", "o", "T", "%", "", "é", "z")
	}
	return "`" + format + "`"
}

func (m *maker) expression() string {
	atom := func() string {
		return m.one("a", "é", ".", "[a-c]", "[^,]", `\d`, `\w`, `\s`, `\b`, "^", "$", "(?i)", "(?)", "(?:)", "(?i-s:a)", "(?ii)",
			"(a|b)", "(?P<n>e)", "{", "}", "a{2}", "{,2}", `\Q.*\E`, `\pL`, `\x61`, "[[:alpha:]]", "(?-)", "(?i-)", "o", "n")
	}
	written := ""
	for n := m.Intn(3); n >= 0; n-- {
		written += atom() + m.one("", "", "", "*", "+", "?", "*?", "{1,2}", "|")
	}
	return "`" + written + "`"
}

// A value: a constant, a field, a variable, or a call in parentheses.
func (m *maker) value(depth int) string {
	if depth > 0 && m.Intn(3) == 0 {
		return "(" + m.pipeline(depth-1) + ")"
	}
	switch m.Intn(6) {
	case 0:
		return m.text()
	case 1:
		return m.one("0", "1", "-3", "42", "2.5", "1e6", "0x1F", "'a'", "1i", "true", "false", "nil", "1_000", ".5")
	case 2:
		if len(m.variables) > 0 {
			return m.one(m.variables...)
		}
		return "$.A"
	case 3:
		// The environment itself has a type of ours: how that is printed is no one's promise.
		return m.one(m.dot, "$.A")
	default:
		names := []string{"$.A", "$.EMPTY", "$.NUMBER", "$.LIST", "$.SIGNS", "$.UNICODE", "$.RAW", "$.QUOTES", "$.LINES", "$.NONE"}
		return m.one(names...)
	}
}

// A value that is a string, mostly.
func (m *maker) string(depth int) string {
	switch m.Intn(8) {
	case 0:
		return m.value(depth)
	case 1:
		return m.text()
	case 2, 3:
		return "(print " + m.value(depth) + ")"
	default:
		return m.one("$.A", "$.EMPTY", "$.LIST", "$.UNICODE", "$.RAW", "$.QUOTES", "$.LINES", "$.NONE", "$.SIGNS")
	}
}

func (m *maker) call(depth int) string {
	value := func() string { return m.value(depth) }
	text := func() string { return m.string(depth) }
	list := func() string {
		return m.one("(split "+m.text()+" "+text()+")", "(split \",\" $.LIST)", "(split \"\" $.RAW)", "(loop 2 5)")
	}
	switch m.Intn(22) {
	case 0:
		return "printf " + m.format() + " " + value() + m.one("", " "+value())
	case 1:
		return "print " + value() + " " + value()
	case 2:
		return "println " + value() + " " + value()
	case 3:
		return m.one("html", "js", "urlquery") + " " + value()
	case 4:
		return "default " + value() + " " + text()
	case 5:
		return "env " + m.one(`"A"`, `"NONE"`, text())
	case 6:
		return "split " + m.text() + " " + text()
	case 7, 8:
		return "join " + m.text() + " " + list()
	case 9:
		return "replaceAll " + m.text() + " " + m.text() + " " + text()
	case 10, 11:
		return "regexReplaceAll " + m.expression() + " " + m.text() + " " + text()
	case 12:
		return "loop " + m.one("3", "2 5", "5 2", "-2", `"4"`)
	case 13:
		return m.one("and", "or") + " " + value() + " " + value()
	case 14:
		return "not " + value()
	case 15:
		return "len " + m.one(list(), text())
	case 16:
		return "index " + m.one(list(), "$ "+m.text(), text()) + " " + m.one("0", "0", "1")
	case 17:
		return "slice " + m.one(list(), text()) + " " + m.one("", "0", "1 2", "1")
	case 18:
		return m.one("eq", "ne", "lt", "le", "gt", "ge") + m.one(" "+text()+" "+text(), " 1 2", " "+value()+" "+value())
	default:
		return value()
	}
}

func (m *maker) pipeline(depth int) string {
	pipeline := m.call(depth)
	for m.Intn(5) == 0 {
		pipeline += " | " + m.one("len", "print", "printf "+m.format(), "html", "js", "urlquery", "default "+m.value(0),
			"split "+m.text(), "join "+m.text(), "not", "eq "+m.value(0), "replaceAll "+m.text()+" "+m.text(),
			"regexReplaceAll "+m.expression()+" "+m.text(), "index "+m.value(0))
	}
	return pipeline
}

func (m *maker) action(inner string) string {
	return "{{" + m.one("", "", " ", "- ", "-\n") + inner + m.one("", "", " ", " -", "\t-") + "}}"
}

// Some text with actions.
func (m *maker) template(depth int) string {
	text := ""
	known := len(m.variables)
	for n := m.Intn(4); n >= 0; n-- {
		text += m.one("", "x", " \n", "é ", "\t", "{", "}", "- ", "{{/**/}}", "{{/*/ y */}}", "{{- /* z */ -}}")
		if depth == 0 || m.Intn(2) == 0 {
			text += m.action(m.pipeline(2))
			continue
		}
		switch m.Intn(6) {
		case 0, 1:
			text += m.action("if "+m.pipeline(1)) + m.template(depth-1)
			if m.Intn(2) == 0 {
				text += m.action("else if "+m.pipeline(1)) + m.template(depth-1)
			}
			text += m.action("else") + m.template(depth-1) + m.action("end")
		case 2:
			text += m.action("with " + m.pipeline(1))
			before := m.dot
			m.dot = "."
			text += m.template(depth-1) + m.action("end")
			m.dot = before
		case 3:
			name := fmt.Sprintf("$v%d", len(m.variables))
			text += m.action("range " + name + " := " + m.one("loop 3", "split \",\" .LIST", m.pipeline(1)))
			m.variables = append(m.variables, name)
			before := m.dot
			m.dot = "."
			text += m.template(depth-1) + m.one("", "{{ if eq . 1 }}{{ break }}{{ end }}", "{{ continue }}") + m.action("end")
			m.variables = m.variables[:len(m.variables)-1]
			m.dot = before
		case 4:
			name := fmt.Sprintf("$v%d", len(m.variables))
			text += m.action(name + " := " + m.pipeline(1))
			m.variables = append(m.variables, name)
		default:
			text += m.action("define \"t\"") + "[" + m.action(m.one(".", "len .", "print .")) + "]" + m.action("end") +
				m.action("template \"t\" "+m.value(1))
		}
	}
	m.variables = m.variables[:known]
	if m.Intn(30) == 0 {
		text += m.one("{{", "{{ .A", "{{/*/}}", "{{ end }}", "{{ nope }}")
	}
	return text
}

func ofGo(text string) (string, error) {
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, environment)
	return out.String(), err
}

func ofOurs(binary, file, text string) (string, error) {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	command := exec.Command(binary, "-config", file, "-template")
	for name, value := range environment {
		command.Env = append(command.Env, name+"="+value)
	}
	var out, told bytes.Buffer
	command.Stdout, command.Stderr = &out, &told
	if err := command.Run(); err != nil {
		return "", errors.New(strings.TrimSpace(told.String()))
	}
	return out.String(), nil
}

// Addresses and the names of our own types are no one's promise.
var incomparable = regexp.MustCompile(`0x[0-9a-f]{6,}|map\[string\]string|template\.Environment|reflect\.|<\*?\w+ Value>`)

func main() {
	binary := flag.String("binary", "", "ours")
	count := flag.Int("count", 10000, "how many templates")
	seed := flag.Int64("seed", 0, "0: the time")
	flag.Parse()
	if *seed == 0 {
		*seed = time.Now().UnixNano()
	}
	fmt.Println("seed", *seed)
	folder, err := os.MkdirTemp("", "template-difference")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	random := rand.New(rand.NewSource(*seed))
	texts := make(chan string)
	var workers sync.WaitGroup
	var lock sync.Mutex
	differ, failed := 0, 0
	for worker := 0; worker < 2; worker++ {
		workers.Add(1)
		go func(file string) {
			defer workers.Done()
			for text := range texts {
				want, wantErr := ofGo(text)
				got, gotErr := ofOurs(*binary, file, text)
				lock.Lock()
				if wantErr != nil {
					failed++
				}
				same := (wantErr == nil) == (gotErr == nil) && (wantErr != nil || want == got)
				if !same && !incomparable.MatchString(want+got) {
					differ++
					if differ <= 20 {
						fmt.Printf("%q\n  Go:   %q %v\n  ours: %q %v\n", text, want, wantErr, got, gotErr)
					}
				}
				lock.Unlock()
			}
		}(filepath.Join(folder, strconv.Itoa(worker)))
	}
	for n := 0; n < *count; n++ {
		texts <- (&maker{Rand: random, dot: "$.LIST"}).template(2)
	}
	close(texts)
	workers.Wait()
	fmt.Printf("%d templates, %d of them refused by Go, %d different\n", *count, failed, differ)
	if differ > 0 {
		os.Exit(1)
	}
}
