//! `berth-monitor`: started by the agent, one for each running VPS. See [`berth_agent::monitor`].

fn main() -> std::process::ExitCode {
    berth_agent::monitor::main()
}
