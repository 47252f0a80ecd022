//! Runs a private NATS server until this process ends, in whatever way.

use highwater_devserver::DevServer;

fn main() -> Result<(), highwater_devserver::StartError> {
    let server = DevServer::builder().start_blocking()?;
    println!("url {}", server.url());
    println!("pid {}", server.pid().unwrap_or_default());
    println!("data {}", server.data_dir().display());
    loop {
        std::thread::park();
    }
}
