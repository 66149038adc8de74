//! Runs programs: keeps dot, variables and the blocks and calls in progress on stacks of its own.
//! Not here: what functions do (`funcs`), and how values are printed (`verbs`).

use std::collections::HashSet;
use std::rc::Rc;

use super::{
    Environment, Fault, Rendered, Unset,
    origins::Origins,
    parser::{Block, Op, Operand, Pipeline, Program, Programs, Term, Variables},
    value::{Text, Value},
    verbs,
    work::Context,
};

/// How many templates may be in the midst of calling another, as in Go.
const MAX_CALLS: usize = 100_000;

/// Executes the text itself.
pub fn run(source: &[u8], programs: &Programs, env: &Environment) -> Result<Rendered, Fault> {
    let Some(main) = programs.get(&b""[..]) else {
        return Ok(Rendered { text: Vec::new(), origins: Origins::new(source.len()), unset: Vec::new() });
    };
    let root = Value::Env(env);
    let mut machine = Machine {
        source,
        programs,
        context: Context::new(env),
        out: Vec::with_capacity(source.len()),
        origins: Origins::new(source.len()),
        unset: Vec::new(),
        told: HashSet::new(),
        dot: root.clone(),
        variables: vec![(Rc::from(&b"$"[..]), root)],
        visible: 0,
        blocks: Vec::new(),
        calls: Vec::new(),
    };
    machine.run(main)?;
    let Machine { out: text, origins, unset, .. } = machine;
    Ok(Rendered { text, origins, unset })
}

struct Machine<'t, 'e> {
    source: &'t [u8],
    programs: &'t Programs,
    context: Context<'e>,
    out: Vec<u8>,
    origins: Origins,
    /// Variables that were printed without being set, each once.
    unset: Vec<Unset>,
    told: HashSet<Vec<u8>>,
    dot: Value<'e>,
    variables: Vec<(Rc<[u8]>, Value<'e>)>,
    /// The first variable of the template that runs; those before it are its callers'.
    visible: usize,
    blocks: Vec<Scope<'e>>,
    calls: Vec<Caller<'t, 'e>>,
}

/// What is restored when a block ends.
struct Scope<'e> {
    dot: Value<'e>,
    variables: usize,
    round: Option<Round<'e>>,
}

/// How far a `range` has come.
struct Round<'e> {
    items: Items<'e>,
    next: usize,
    variables: usize,
    names: Rc<Variables>,
    /// Where it stands.
    at: usize,
}

enum Items<'e> {
    List(Value<'e>),
    Pairs(Vec<(Text, Text)>),
}

/// What is restored when a template returns.
struct Caller<'t, 'e> {
    program: &'t Program,
    step: usize,
    dot: Value<'e>,
    visible: usize,
}

impl<'t, 'e> Machine<'t, 'e> {
    fn run(&mut self, main: &'t Program) -> Result<(), Fault> {
        let (mut program, mut step) = (main, 0);
        loop {
            let Some(op) = program.ops.get(step) else {
                let Some(caller) = self.calls.pop() else {
                    return Ok(());
                };
                self.variables.truncate(self.visible);
                (program, step, self.dot, self.visible) = (caller.program, caller.step, caller.dot, caller.visible);
                continue;
            };
            step += 1;
            match op {
                Op::Text(range) => {
                    self.origins.copied(self.out.len(), range.start);
                    self.print(&self.source[range.clone()], range.start)?;
                }
                Op::Print { at, pipeline } => {
                    let value = self.pipeline(pipeline)?;
                    if pipeline.variables.names.is_empty() {
                        self.origins.made(self.out.len(), *at);
                        self.handle(&value, *at)?;
                        self.print(&verbs::print(&value, self.context.room()), *at)?;
                        self.note_unset(pipeline);
                    }
                }
                Op::Enter { pipeline, block, otherwise } => {
                    if !self.enter(pipeline, block)? {
                        step = *otherwise;
                    }
                }
                Op::Next { end } => {
                    if !self.next_round()? {
                        step = *end;
                    }
                }
                Op::Jump(to) => step = *to,
                Op::Escape { blocks, to } => {
                    self.blocks.truncate(self.blocks.len().saturating_sub(*blocks));
                    step = *to;
                }
                Op::Leave => {
                    if let Some(scope) = self.blocks.pop() {
                        self.dot = scope.dot;
                        self.variables.truncate(scope.variables);
                    }
                }
                Op::Call { at, name, pipeline } => {
                    let callee = self.call(
                        *at,
                        name,
                        pipeline.as_ref(),
                        Caller { program, step, dot: self.dot.clone(), visible: self.visible },
                    )?;
                    (program, step) = (callee, 0);
                }
            }
        }
    }

    /// Notes the variables that a printed pipeline takes as they are, although they are not set. One that is compared, tested
    /// or given a default may be missing on purpose.
    fn note_unset(&mut self, pipeline: &Pipeline) {
        let functions = pipeline.commands.iter().filter_map(|command| match &command.first()?.term {
            Term::Function(function) => Some(function),
            Term::Dot | Term::Constant(_) | Term::Variable(_) | Term::Pipeline(_) | Term::Fields(..) => None,
        });
        if functions.clone().any(|function| function.takes_missing) {
            return;
        }
        for command in &pipeline.commands {
            if let [Operand { at, term: Term::Function(function) }, name] = &command[..]
                && function.name == "env"
                && let Term::Constant(Value::Text(name)) = &name.term
            {
                self.note_if_unset(*at, name);
            }
            for operand in command {
                match &operand.term {
                    Term::Pipeline(inner) => self.note_unset(inner),
                    Term::Fields(base, fields) => {
                        if let [name] = &fields[..]
                            && self.is_environment(base)
                        {
                            self.note_if_unset(operand.at, name);
                        }
                    }
                    Term::Dot | Term::Constant(_) | Term::Function(_) | Term::Variable(_) => {}
                }
            }
        }
    }

    fn is_environment(&self, base: &Operand) -> bool {
        match &base.term {
            Term::Dot => matches!(self.dot, Value::Env(_)),
            Term::Variable(name) => {
                let known = self.variables[self.visible..].iter().rev().find(|(known, _)| known == name);
                known.is_some_and(|(_, value)| matches!(value, Value::Env(_)))
            }
            Term::Constant(_) | Term::Function(_) | Term::Pipeline(_) | Term::Fields(..) => false,
        }
    }

    fn note_if_unset(&mut self, at: usize, name: &[u8]) {
        if self.context.env.get(name).is_none() && self.told.insert(name.to_vec()) {
            self.unset.push(Unset { at, name: String::from_utf8_lossy(name).into_owned() });
        }
    }

    /// Adds to what is rendered.
    fn print(&mut self, bytes: &[u8], at: usize) -> Result<(), Fault> {
        let fault = |message| Fault::new(at, message);
        self.context.make(bytes.len()).map_err(fault)?;
        self.context.fits(self.out.len() + bytes.len()).map_err(fault)?;
        self.out.extend(bytes);
        Ok(())
    }

    /// Counts what it takes to look at a value.
    fn handle(&self, value: &Value<'e>, at: usize) -> Result<(), Fault> {
        self.context.handle(value.weight()).map_err(|message| Fault::new(at, message))
    }

    /// Begins a block; false if its first branch is not for this value.
    fn enter(&mut self, pipeline: &Pipeline, block: &Block) -> Result<bool, Fault> {
        let mut scope = Scope { dot: self.dot.clone(), variables: self.variables.len(), round: None };
        let value = self.pipeline(pipeline)?;
        let taken = match block {
            Block::If => value.is_true(),
            Block::With => {
                let taken = value.is_true();
                if taken {
                    self.dot = value;
                }
                taken
            }
            Block::Range(names) => {
                let items = match value {
                    Value::Env(env) => Items::Pairs(env.iter().map(|(k, v)| (k.into(), v.into())).collect()),
                    Value::Texts(_) | Value::Ints(_) | Value::Nil => Items::List(value),
                    Value::Bool(_)
                    | Value::Int(_)
                    | Value::Byte(_)
                    | Value::Float(_)
                    | Value::Complex(..)
                    | Value::Text(_) => {
                        let message = format!("range cannot go through a {}", value.type_name());
                        return Err(Fault::new(start(pipeline), message));
                    }
                };
                let filled = match &items {
                    Items::List(list) => list.is_true(),
                    Items::Pairs(pairs) => !pairs.is_empty(),
                };
                let variables = self.variables.len();
                let at = start(pipeline);
                if let Items::Pairs(pairs) = &items {
                    let weight = pairs.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
                    self.context.handle(weight).map_err(|message| Fault::new(at, message))?;
                }
                scope.round = Some(Round { items, next: 0, variables, names: names.clone(), at });
                filled
            }
        };
        self.blocks.push(scope);
        Ok(taken)
    }

    /// Sets dot and the loop's variables to the next element; false if there is none.
    fn next_round(&mut self) -> Result<bool, Fault> {
        let Some(round) = self.blocks.last_mut().and_then(|scope| scope.round.as_mut()) else {
            return Ok(false);
        };
        self.context.spend(2).map_err(|message| Fault::new(round.at, message))?;
        let index = round.next;
        round.next += 1;
        self.variables.truncate(round.variables);
        let pair = match &round.items {
            Items::List(list) => list.element(index).map(|item| (count(index), item)),
            Items::Pairs(pairs) => pairs.get(index).cloned().map(|(key, value)| (Value::Text(key), Value::Text(value))),
        };
        let Some((key, item)) = pair else {
            return Ok(false);
        };
        let names = round.names.clone();
        match &names.names[..] {
            [] => {}
            [one] => self.set(&names, one, 1, item.clone())?,
            [first, second, ..] => {
                self.set(&names, first, 2, key)?;
                self.set(&names, second, 1, item.clone())?;
            }
        }
        self.dot = item;
        Ok(true)
    }

    /// Sets a variable of a loop, which was declared as the n-th from the top or is assigned to.
    fn set(
        &mut self,
        names: &Variables,
        name: &(Rc<[u8]>, usize),
        from_top: usize,
        value: Value<'e>,
    ) -> Result<(), Fault> {
        if names.assign {
            return self.assign(name, value);
        }
        let place = self.variables.len().checked_sub(from_top).and_then(|index| self.variables.get_mut(index));
        if let Some((_, old)) = place {
            *old = value;
        }
        Ok(())
    }

    fn assign(&mut self, (name, at): &(Rc<[u8]>, usize), value: Value<'e>) -> Result<(), Fault> {
        match self.variables[self.visible..].iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => return Err(undefined(name, *at)),
        }
        Ok(())
    }

    /// Prepares the call of a template: what is left to do is to run it.
    fn call(
        &mut self,
        at: usize,
        name: &[u8],
        dot: Option<&Pipeline>,
        caller: Caller<'t, 'e>,
    ) -> Result<&'t Program, Fault> {
        let Some(callee) = self.programs.get(name) else {
            return Err(Fault::new(at, format!("the template `{}` is not defined", String::from_utf8_lossy(name))));
        };
        if self.calls.len() >= MAX_CALLS {
            return Err(Fault::new(at, format!("more than {MAX_CALLS} templates call each other")));
        }
        self.context.spend(16).map_err(|message| Fault::new(at, message))?;
        let dot = dot.map_or(Ok(Value::Nil), |pipeline| self.pipeline(pipeline))?;
        self.calls.push(caller);
        self.visible = self.variables.len();
        self.variables.push((Rc::from(&b"$"[..]), dot.clone()));
        self.dot = dot;
        Ok(callee)
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Value<'e>, Fault> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value)?);
        }
        let value = value.expect("the parser refuses empty pipelines");
        // Each variable takes its place as long as its block lasts.
        let declared = u64::try_from(pipeline.variables.names.len()).unwrap_or(u64::MAX);
        self.context.spend(1 + 8 * declared).map_err(|message| Fault::new(start(pipeline), message))?;
        for name in &pipeline.variables.names {
            if pipeline.variables.assign {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.0.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    /// A function with its arguments, or a lone value. `piped` is the value of the command before.
    fn command(&mut self, command: &[Operand], piped: Option<Value<'e>>) -> Result<Value<'e>, Fault> {
        let (first, rest) = command.split_first().expect("the parser refuses empty commands");
        if let Term::Function(_) = first.term {
            return self.apply(first, rest, piped);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(Fault::new(first.at, "only a function can be given an argument"));
        }
        if let Term::Constant(Value::Nil) = first.term {
            return Err(Fault::new(first.at, "nil is not a command"));
        }
        self.operand(first)
    }

    fn operand(&mut self, operand: &Operand) -> Result<Value<'e>, Fault> {
        self.context.spend(1).map_err(|message| Fault::new(operand.at, message))?;
        match &operand.term {
            Term::Dot => Ok(self.dot.clone()),
            Term::Constant(value) => Ok(value.clone()),
            Term::Function(_) => self.apply(operand, &[], None),
            Term::Variable(name) => {
                let visible = &self.variables[self.visible..];
                let known = visible.iter().rev().find(|(known, _)| known == name);
                let passed = u64::try_from(visible.len()).unwrap_or(u64::MAX) / 8;
                self.context.spend(passed).map_err(|message| Fault::new(operand.at, message))?;
                known.map(|(_, value)| value.clone()).ok_or_else(|| undefined(name, operand.at))
            }
            Term::Pipeline(pipeline) => self.pipeline(pipeline),
            Term::Fields(base, fields) => {
                let mut value = self.operand(base)?;
                for field in fields {
                    value = match value {
                        Value::Env(env) => {
                            let value = Value::variable(env, field);
                            self.handle(&value, operand.at)?;
                            value
                        }
                        // As in Go, where the dot of a template without data has no fields, but that is no error.
                        Value::Nil => Value::Nil,
                        Value::Bool(_)
                        | Value::Int(_)
                        | Value::Byte(_)
                        | Value::Float(_)
                        | Value::Complex(..)
                        | Value::Text(_)
                        | Value::Texts(_)
                        | Value::Ints(_) => {
                            let field = String::from_utf8_lossy(field);
                            let message = format!("a {} has no field `{field}`", value.type_name());
                            return Err(Fault::new(operand.at, message));
                        }
                    };
                }
                Ok(value)
            }
        }
    }

    /// Calls a function. `and` and `or` evaluate no more arguments than they need.
    fn apply(&mut self, operand: &Operand, rest: &[Operand], piped: Option<Value<'e>>) -> Result<Value<'e>, Fault> {
        let Term::Function(function) = operand.term else {
            return self.operand(operand);
        };
        function
            .check_count(rest.len() + usize::from(piped.is_some()))
            .map_err(|message| Fault::new(operand.at, message))?;
        let mut values = Vec::with_capacity(rest.len() + 1);
        for (index, argument) in rest.iter().enumerate() {
            let value = self.operand(argument)?;
            function.check_type(index, &value).map_err(|message| Fault::new(argument.at, message))?;
            if function.stops_at == Some(value.is_true()) {
                return Ok(value);
            }
            values.push(value);
        }
        if let Some(value) = piped {
            function.check_type(rest.len(), &value).map_err(|message| Fault::new(operand.at, message))?;
            values.push(value);
        }
        // What it looks at counts, whatever it does with it.
        self.context
            .handle(values.iter().map(Value::weight).sum())
            .map_err(|message| Fault::new(operand.at, message))?;
        (function.run)(&self.context, &values)
            .map_err(|message| Fault::new(operand.at, format!("{}: {message}", function.name)))
    }
}

fn start(pipeline: &Pipeline) -> usize {
    pipeline.commands.first().and_then(|command| command.first()).map_or(0, |operand| operand.at)
}

/// An index as a value.
fn count(index: usize) -> Value<'static> {
    Value::Int(i64::try_from(index).expect("no list is that long"))
}

fn undefined(name: &[u8], at: usize) -> Fault {
    Fault::new(at, format!("undefined variable `{}`", String::from_utf8_lossy(name)))
}
