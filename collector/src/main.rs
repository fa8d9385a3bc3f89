//! The command `foreshock`.

fn main() -> std::process::ExitCode {
    foreshock::cli::main()
}
