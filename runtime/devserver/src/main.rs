//! Runs a private NATS server until this process ends, in whatever way; with
//! the argument `locate` only finds or installs its program.

use highwater_devserver::{DevServer, Locator};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let locator = Locator::from_env().on_progress(|step| eprintln!("{step}"));
    if std::env::args().nth(1).as_deref() == Some("locate") {
        let found = locator.locate_blocking()?;
        println!("{} {} ({})", found.path.display(), found.version, found.way);
        return Ok(());
    }
    let server = DevServer::builder().locator(locator).start_blocking()?;
    println!("url {}", server.url());
    println!("pid {}", server.pid().unwrap_or_default());
    println!("data {}", server.data_dir().display());
    loop {
        std::thread::park();
    }
}
