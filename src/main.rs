//! ContainerPilot: PID 1 for containers. Until there is a command line: `-config FILE -template [-out FILE]`.

mod template;

use std::{ffi::OsString, io::Write as _, os::unix::ffi::OsStringExt as _, process::ExitCode};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            #[expect(clippy::print_stderr, reason = "a provisional command line")]
            {
                eprintln!("{message}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let flag = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let path = flag("-config").or_else(|| std::env::var_os("CONTAINERPILOT")).ok_or("no -config")?;
    let text = std::fs::read(&path).map_err(|error| error.to_string())?;
    let env = std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
    let out = template::render(&path.to_string_lossy(), &text, &env).map_err(|error| error.to_string())?;
    let written = match flag("-out").filter(|path| path != "-") {
        Some(path) => std::fs::write(path, out),
        None => std::io::stdout().write_all(&out),
    };
    written.map_err(|error| error.to_string())
}
