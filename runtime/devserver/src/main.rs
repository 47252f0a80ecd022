//! Runs a private NATS server until this process ends, in whatever way; with
//! the argument `locate` only finds or installs its program.

use std::process::ExitCode;

use highwater_devserver::{DevServer, Locator, StartError};

fn main() -> ExitCode {
    let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
    let locate_only = std::env::args().nth(1).as_deref() == Some("locate");
    let result = if locate_only { locate(&locator) } else { serve(locator) };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn locate(locator: &Locator) -> Result<(), StartError> {
    let found = locator.locate_blocking()?;
    println!("{} {} ({})", found.path.display(), found.version, found.way);
    Ok(())
}

fn serve(locator: Locator) -> Result<(), StartError> {
    let server = DevServer::builder().locator(locator).start_blocking()?;
    println!("url {}", server.url());
    println!("pid {}", server.pid().unwrap_or_default());
    println!("data {}", server.data_dir().display());
    loop {
        std::thread::park();
    }
}
