//! Turns tokens into programs: one flat list of operations per template, in which blocks are jumps. So neither deep blocks
//! nor deep recursion of templates can overflow our stack; only parentheses nest, up to `MAX_NESTING`.
//! Not here: anything that needs the environment.

use std::{collections::HashMap, ops::Range, rc::Rc};

use containerpilot_actors::nearest::nearest;

use super::{
    Fault,
    funcs::{self, Function},
    lexer::{self, Kind, Token},
    literal,
    value::Value,
};

/// How deep parentheses may nest. Go has no limit; evaluation recurses, and the stack of a thread may be small.
const MAX_NESTING: usize = 250;

/// All templates of a text by name. The text itself is the one without a name.
pub type Programs = HashMap<Vec<u8>, Program>;

/// A template: its definition, or the text itself.
#[derive(Debug)]
pub struct Program {
    /// Its steps. It ends after the last one.
    pub ops: Vec<Op>,
    /// Whether there is anything but white space in it.
    filled: bool,
}

/// One step of a template.
#[derive(Debug)]
pub enum Op {
    /// Copies a piece of the source.
    Text(Range<usize>),
    /// `{{ pipeline }}`
    Print {
        /// Where the action begins.
        at: usize,
        /// What it prints.
        pipeline: Pipeline,
    },
    /// The start of a block. If there is nothing to do in it, goes on at `otherwise`.
    Enter {
        /// Decides, and gives the dot of `with` and the elements of `range`.
        pipeline: Pipeline,
        /// Which block it is.
        block: Block,
        /// The first step of the else branch, or the end of the block.
        otherwise: usize,
    },
    /// The next round of a `range`; after the last one goes to its end.
    Next {
        /// The end of the block.
        end: usize,
    },
    /// Goes on elsewhere in the same block.
    Jump(usize),
    /// `break` and `continue`: leaves some blocks within the loop at once, then goes on elsewhere.
    Escape {
        /// How many blocks.
        blocks: usize,
        /// Where to go on.
        to: usize,
    },
    /// The end of a block.
    Leave,
    /// `{{ template "name" pipeline }}`
    Call {
        /// Where the name stands.
        at: usize,
        /// The template's name.
        name: Vec<u8>,
        /// Its dot.
        pipeline: Option<Pipeline>,
    },
}

/// The kinds of blocks.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// `if`
    If,
    /// `with`
    With,
    /// `range`; its variables are those of its pipeline.
    Range(Rc<Variables>),
}

/// The variables that a pipeline declares or assigns to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variables {
    /// `=` instead of `:=`
    pub assign: bool,
    /// Their names, with the dollar sign, and where they stand.
    pub names: Vec<(Rc<[u8]>, usize)>,
}

/// Commands, each taking the value of the one before as its last argument.
#[derive(Debug)]
pub struct Pipeline {
    /// What becomes of the value.
    pub variables: Rc<Variables>,
    /// At least one.
    pub commands: Vec<Vec<Operand>>,
}

/// A word of a command, and where it stands.
#[derive(Debug)]
pub struct Operand {
    /// In bytes.
    pub at: usize,
    /// What it is.
    pub term: Term,
}

/// What a word of a command can be.
#[derive(Debug)]
pub enum Term {
    /// `.`
    Dot,
    /// A constant; the keyword `nil` too.
    Constant(Value<'static>),
    /// A function of ours or of Go's.
    Function(&'static Function),
    /// `$name`
    Variable(Rc<[u8]>),
    /// `( pipeline )`
    Pipeline(Pipeline),
    /// `.a.b`, `$x.a`, `( ... ).a`
    Fields(Box<Operand>, Vec<Vec<u8>>),
}

/// Reads a whole text.
pub fn parse(source: &[u8]) -> Result<Programs, Fault> {
    let tokens = lexer::lex(source);
    let mut parser = Parser {
        tokens: &tokens.list,
        lex_error: tokens.error,
        next: 0,
        depth: 0,
        programs: HashMap::new(),
        open: vec![Draft::new(Vec::new(), 0)],
    };
    while parser.peek().kind != Kind::End {
        let open = parser.peek().at;
        parser.item().map_err(|fault| without_end(source, open, fault))?;
    }
    let main = parser.open.pop().expect("the text itself is closed last");
    if !parser.open.is_empty() || !main.blocks.is_empty() {
        let unclosed = main.blocks.last().map_or(main.at, |block| block.at);
        let message = format!("the block is not closed: `{{{{ end }}}}` is missing up to {}", lexer::last_line(source));
        return Err(Fault::new(unclosed, message));
    }
    parser.define(main)?;
    Ok(parser.programs)
}

/// The fault of an action, or that it has no end, so that it takes what follows for its own.
fn without_end(source: &[u8], open: usize, fault: Fault) -> Fault {
    let is_action = source.get(open..).is_some_and(|rest| rest.starts_with(b"{{"));
    match lexer::unclosed(source, open).filter(|_| is_action) {
        Some((at, message)) => Fault::new(at, message),
        None => fault,
    }
}

/// The words that stand for no value.
const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// What whoever wrote an unknown word may have meant.
fn hint(word: &str) -> String {
    let is_variable = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if word.chars().all(is_variable) {
        return format!(", perhaps the variable `.{word}`");
    }
    let known = funcs::names().chain(KEYWORDS);
    nearest(word, known).map(|name| format!(", perhaps `{name}`")).unwrap_or_default()
}

/// A template that is being read.
struct Draft {
    name: Vec<u8>,
    /// Where its definition begins.
    at: usize,
    ops: Vec<Op>,
    blocks: Vec<OpenBlock>,
    variables: Vec<Rc<[u8]>>,
    filled: bool,
}

impl Draft {
    fn new(name: Vec<u8>, at: usize) -> Self {
        Draft { name, at, ops: Vec::new(), blocks: Vec::new(), variables: vec![Rc::from(&b"$"[..])], filled: false }
    }
}

/// A block without its `end` yet.
struct OpenBlock {
    at: usize,
    keyword: Keyword,
    enter: usize,
    /// The variables known before it.
    variables: usize,
    has_else: bool,
    /// `else if`: the block that encloses it ends with it.
    chained: bool,
    /// The steps that are to go to its end.
    to_end: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Keyword {
    If,
    With,
    Range,
}

struct Parser<'t> {
    tokens: &'t [Token<'t>],
    lex_error: Option<(usize, String)>,
    next: usize,
    /// Of parentheses.
    depth: usize,
    programs: Programs,
    /// The text, and within it `define`s and `block`s.
    open: Vec<Draft>,
}

impl<'t> Parser<'t> {
    /// A piece of text or an action.
    fn item(&mut self) -> Result<(), Fault> {
        let token = self.take();
        if token.kind == Kind::Text {
            let filled = !token.text.iter().all(u8::is_ascii_whitespace);
            self.draft().filled |= filled;
            self.op(Op::Text(token.at..token.at + token.text.len()));
            return Ok(());
        }
        if token.kind != Kind::Open {
            return Err(self.unexpected(token, "the template"));
        }
        self.skip_space();
        let word = self.peek();
        let keyword = if word.kind == Kind::Word { word.text } else { b"" };
        if !matches!(keyword, b"define" | b"end" | b"else") {
            self.draft().filled = true;
        }
        match keyword {
            b"if" => self.enter(Keyword::If, false),
            b"with" => self.enter(Keyword::With, false),
            b"range" => self.enter(Keyword::Range, false),
            b"else" => self.otherwise(),
            b"end" => self.end(),
            b"break" | b"continue" => self.escape(),
            b"template" => self.template(),
            b"block" => self.block(),
            b"define" => self.definition(),
            _ => {
                let pipeline = self.pipeline("an action", Kind::Close)?;
                self.op(Op::Print { at: token.at, pipeline });
                Ok(())
            }
        }
    }

    fn enter(&mut self, keyword: Keyword, chained: bool) -> Result<(), Fault> {
        let at = self.take().at;
        let variables = self.draft().variables.len();
        let context = match keyword {
            Keyword::If => "if",
            Keyword::With => "with",
            Keyword::Range => "range",
        };
        let pipeline = self.pipeline(context, Kind::Close)?;
        let block = match keyword {
            Keyword::If => Block::If,
            Keyword::With => Block::With,
            Keyword::Range => Block::Range(pipeline.variables.clone()),
        };
        let enter = self.op(Op::Enter { pipeline, block, otherwise: 0 });
        let mut to_end = Vec::new();
        if keyword == Keyword::Range {
            to_end.push(self.op(Op::Next { end: 0 }));
        }
        let open = OpenBlock { at, keyword, enter, variables, has_else: false, chained, to_end };
        self.draft().blocks.push(open);
        Ok(())
    }

    fn otherwise(&mut self) -> Result<(), Fault> {
        let word = self.take();
        let Some(mut block) = self.draft().blocks.pop() else {
            return Err(Fault::new(word.at, "unexpected `{{ else }}`"));
        };
        if block.has_else {
            return Err(Fault::new(word.at, "expected `{{ end }}` after `{{ else }}`, found another `{{ else }}`"));
        }
        block.has_else = true;
        let last = self.finish_body(&block);
        if block.keyword != Keyword::Range {
            block.to_end.push(last);
        }
        let start = self.draft().ops.len();
        self.patch(block.enter, start);
        let if_follows = block.keyword == Keyword::If;
        self.draft().blocks.push(block);
        self.skip_space();
        let next = self.peek();
        if if_follows && next.kind == Kind::Word && next.text == b"if" {
            return self.enter(Keyword::If, true);
        }
        self.expect_close("else")
    }

    fn end(&mut self) -> Result<(), Fault> {
        let word = self.take();
        self.expect_close("end")?;
        loop {
            let Some(mut block) = self.draft().blocks.pop() else {
                if self.open.len() == 1 {
                    return Err(Fault::new(word.at, "unexpected `{{ end }}`"));
                }
                let draft = self.open.pop().expect("there are two at least");
                return self.define(draft);
            };
            if !block.has_else {
                if block.keyword == Keyword::Range {
                    self.finish_body(&block);
                }
                block.to_end.push(block.enter);
            }
            let leave = self.op(Op::Leave);
            for step in block.to_end {
                self.patch(step, leave);
            }
            self.draft().variables.truncate(block.variables);
            if !block.chained {
                return Ok(());
            }
        }
    }

    /// What follows the last step of a block's first branch: a loop goes round, the others skip their else branch.
    fn finish_body(&mut self, block: &OpenBlock) -> usize {
        match block.keyword {
            Keyword::Range => self.op(Op::Jump(block.enter + 1)),
            Keyword::If | Keyword::With => self.op(Op::Jump(0)),
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let word = self.take();
        let name = String::from_utf8_lossy(word.text);
        self.expect_close(&name)?;
        // The else branch of a loop is not within it. Even so, as in Go, a `break` there ends no outer loop.
        let blocks = &self.draft().blocks;
        let loops = |block: &OpenBlock| block.keyword == Keyword::Range;
        let inside = blocks.iter().rposition(|block| loops(block) && !block.has_else);
        let index = if word.text == b"break" { inside.and(blocks.iter().rposition(loops)) } else { inside };
        let Some(index) = index else {
            return Err(Fault::new(word.at, format!("`{{{{ {name} }}}}` outside of `{{{{ range }}}}`")));
        };
        let (inner, next) = (blocks.len() - index - 1, blocks[index].enter + 1);
        let step = self.op(Op::Escape { blocks: inner, to: next });
        if word.text == b"break" {
            self.draft().blocks[index].to_end.push(step);
        }
        Ok(())
    }

    fn template(&mut self) -> Result<(), Fault> {
        self.take();
        let (at, name) = self.template_name("template")?;
        self.skip_space();
        let pipeline = match self.peek().kind == Kind::Close {
            true => {
                self.take();
                None
            }
            false => Some(self.pipeline("template", Kind::Close)?),
        };
        self.op(Op::Call { at, name, pipeline });
        Ok(())
    }

    /// A definition and a call of it at the same place.
    fn block(&mut self) -> Result<(), Fault> {
        self.take();
        let (at, name) = self.template_name("block")?;
        let pipeline = Some(self.pipeline("block", Kind::Close)?);
        self.op(Op::Call { at, name: name.clone(), pipeline });
        self.open.push(Draft::new(name, at));
        Ok(())
    }

    fn definition(&mut self) -> Result<(), Fault> {
        let word = self.take();
        if self.open.len() > 1 || !self.draft().blocks.is_empty() {
            return Err(Fault::new(word.at, "`{{ define }}` within another block"));
        }
        let (at, name) = self.template_name("define")?;
        self.expect_close("define")?;
        self.open.push(Draft::new(name, at));
        Ok(())
    }

    fn template_name(&mut self, context: &str) -> Result<(usize, Vec<u8>), Fault> {
        self.skip_space();
        let token = self.take();
        match token.kind == Kind::String {
            true => Ok((token.at, self.string(token)?)),
            false => Err(self.unexpected(token, context)),
        }
    }

    /// An empty definition never replaces another, and two others are a mistake.
    fn define(&mut self, draft: Draft) -> Result<(), Fault> {
        let known = self.programs.get(&draft.name).is_some_and(|program| program.filled);
        if known && draft.filled {
            let name = String::from_utf8_lossy(&draft.name);
            return Err(Fault::new(draft.at, format!("the template `{name}` is defined twice")));
        }
        if !known {
            self.programs.insert(draft.name, Program { ops: draft.ops, filled: draft.filled });
        }
        Ok(())
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipeline, Fault> {
        self.skip_space();
        let start = self.peek().at;
        let variables = Rc::new(self.variables(context)?);
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            let token = self.peek();
            if token.kind == end {
                break;
            }
            commands.push(self.command(context)?);
        }
        self.take();
        if commands.is_empty() {
            return Err(Fault::new(start, format!("missing value for {context}")));
        }
        for command in &commands[1..] {
            if matches!(command[0].term, Term::Dot | Term::Constant(_)) {
                return Err(Fault::new(command[0].at, "a value cannot follow `|`, only a function can"));
            }
        }
        Ok(Pipeline { variables, commands })
    }

    /// `$x :=`, `$x =` and, for `range`, `$i, $x :=`.
    fn variables(&mut self, context: &str) -> Result<Variables, Fault> {
        let mut found = Variables::default();
        while self.peek().kind == Kind::Variable {
            let before = self.next;
            let variable = self.take();
            self.skip_space();
            let sign = self.peek();
            let comma = sign.kind == Kind::Sign && sign.text == b",";
            if !comma && !matches!(sign.kind, Kind::Assign | Kind::Declare) {
                self.next = before;
                break;
            }
            self.take();
            let name: Rc<[u8]> = Rc::from(variable.text);
            found.names.push((name.clone(), variable.at));
            self.draft().variables.push(name);
            if !comma {
                found.assign = sign.kind == Kind::Assign;
                break;
            }
            if context != "range" || found.names.len() > 1 {
                return Err(Fault::new(variable.at, format!("too many variables in {context}")));
            }
            self.skip_space();
            if !matches!(self.peek().kind, Kind::Variable | Kind::Close | Kind::Right) {
                return Err(Fault::new(self.peek().at, "range can only initialize variables"));
            }
        }
        Ok(found)
    }

    /// Operands with space between them, up to a `|` or the end of the pipeline.
    fn command(&mut self, context: &str) -> Result<Vec<Operand>, Fault> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            let before = self.peek();
            match self.operand()? {
                Some(operand) => operands.push(operand),
                None if operands.is_empty() => return Err(self.unexpected(before, context)),
                None => {}
            }
            let token = self.peek();
            match token.kind {
                Kind::Space => {}
                Kind::Close | Kind::Right => return Ok(operands),
                Kind::Pipe => {
                    self.take();
                    return Ok(operands);
                }
                Kind::Text
                | Kind::Open
                | Kind::Dot
                | Kind::Field
                | Kind::Variable
                | Kind::Word
                | Kind::Number
                | Kind::Character
                | Kind::String
                | Kind::Assign
                | Kind::Declare
                | Kind::Left
                | Kind::Sign
                | Kind::End
                | Kind::Bad => return Err(self.unexpected(token, context)),
            }
        }
    }

    /// A term with the fields that follow it.
    fn operand(&mut self) -> Result<Option<Operand>, Fault> {
        let at = self.peek().at;
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        if let Term::Fields(_, first) = &term {
            fields.clone_from(first);
        }
        if self.peek().kind != Kind::Field {
            return Ok(Some(Operand { at, term }));
        }
        if matches!(term, Term::Dot | Term::Constant(_)) {
            return Err(Fault::new(self.peek().at, "unexpected `.` after a value that has no fields"));
        }
        while self.peek().kind == Kind::Field {
            fields.push(self.take().text[1..].to_vec());
        }
        let base = match term {
            Term::Fields(base, _) => base,
            Term::Dot | Term::Constant(_) | Term::Function(_) | Term::Variable(_) | Term::Pipeline(_) => {
                Box::new(Operand { at, term })
            }
        };
        Ok(Some(Operand { at, term: Term::Fields(base, fields) }))
    }

    fn term(&mut self) -> Result<Option<Term>, Fault> {
        let token = self.peek();
        let term = match token.kind {
            Kind::Dot => Term::Dot,
            Kind::Field => {
                let dot = Operand { at: token.at, term: Term::Dot };
                Term::Fields(Box::new(dot), vec![token.text[1..].to_vec()])
            }
            Kind::Variable => Term::Variable(self.known_variable(token)?),
            Kind::Word => match self.word(token)? {
                Some(term) => term,
                None => return Ok(None),
            },
            Kind::Number => {
                let number = literal::number(&String::from_utf8_lossy(token.text));
                Term::Constant(number.map_err(|message| Fault::new(token.at, message))?)
            }
            Kind::Character => match literal::character(token.text) {
                Some(code) => Term::Constant(Value::Int(code)),
                None => return Err(Fault::new(token.at, "malformed character constant")),
            },
            Kind::String => Term::Constant(Value::text(self.string(token)?)),
            Kind::Left => {
                self.depth += 1;
                if self.depth > MAX_NESTING {
                    return Err(Fault::new(token.at, format!("more than {MAX_NESTING} parentheses within each other")));
                }
                self.take();
                let pipeline = self.pipeline("parentheses", Kind::Right)?;
                self.depth -= 1;
                return Ok(Some(Term::Pipeline(pipeline)));
            }
            Kind::Text
            | Kind::Open
            | Kind::Close
            | Kind::Space
            | Kind::Assign
            | Kind::Declare
            | Kind::Pipe
            | Kind::Right
            | Kind::Sign
            | Kind::End
            | Kind::Bad => return Ok(None),
        };
        self.take();
        Ok(Some(term))
    }

    /// None for a keyword, which no operand can be.
    fn word(&self, token: Token<'t>) -> Result<Option<Term>, Fault> {
        Ok(Some(match token.text {
            b"true" => Term::Constant(Value::Bool(true)),
            b"false" => Term::Constant(Value::Bool(false)),
            b"nil" => Term::Constant(Value::Nil),
            word if KEYWORDS.iter().any(|known| known.as_bytes() == word) => return Ok(None),
            word => Term::Function(funcs::find(word).ok_or_else(|| {
                let word = String::from_utf8_lossy(word);
                Fault::new(token.at, format!("the function `{word}` is not defined{}", hint(&word)))
            })?),
        }))
    }

    fn known_variable(&mut self, token: Token<'t>) -> Result<Rc<[u8]>, Fault> {
        let known = self.draft().variables.iter().rev().find(|name| ***name == *token.text);
        known.cloned().ok_or_else(|| {
            Fault::new(token.at, format!("undefined variable `{}`", String::from_utf8_lossy(token.text)))
        })
    }

    fn string(&self, token: Token<'t>) -> Result<Vec<u8>, Fault> {
        literal::string(token.text).ok_or_else(|| Fault::new(token.at, "an escape in the string is not valid"))
    }

    fn expect_close(&mut self, context: &str) -> Result<(), Fault> {
        self.skip_space();
        let token = self.take();
        if token.kind == Kind::Close { Ok(()) } else { Err(self.unexpected(token, context)) }
    }

    fn unexpected(&self, token: Token<'t>, context: &str) -> Fault {
        match (token.kind, &self.lex_error) {
            (Kind::Bad, Some((at, message))) => Fault::new(*at, message.clone()),
            (_, _) => {
                Fault::new(token.at, format!("unexpected `{}` in {context}", String::from_utf8_lossy(token.text)))
            }
        }
    }

    fn draft(&mut self) -> &mut Draft {
        self.open.last_mut().expect("the text itself is closed last")
    }

    fn op(&mut self, op: Op) -> usize {
        let ops = &mut self.draft().ops;
        ops.push(op);
        ops.len() - 1
    }

    /// Sets where a step goes to.
    fn patch(&mut self, step: usize, target: usize) {
        match &mut self.draft().ops[step] {
            Op::Enter { otherwise: to, .. } | Op::Next { end: to } | Op::Jump(to) | Op::Escape { to, .. } => {
                *to = target
            }
            Op::Text(_) | Op::Print { .. } | Op::Leave | Op::Call { .. } => {}
        }
    }

    fn peek(&self) -> Token<'t> {
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token<'t> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }
}
