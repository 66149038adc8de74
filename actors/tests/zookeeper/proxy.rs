//! A line to a server that can be cut.

use actix::clock::Instant;
use containerpilot_actors::testing::{millis, secs};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes on what comes and goes, as long as it is not cut.
#[derive(Debug)]
pub struct Line {
    pub port: u16,
    cut: watch::Sender<bool>,
}

impl Line {
    pub async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (cut, is_cut) = watch::channel(false);
        actix_rt::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                actix_rt::spawn(async move {
                    let passing = async {
                        if let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)).await
                            && copy_bidirectional(&mut near, &mut far).await.is_err()
                        {
                            // One of them has gone away.
                        }
                    };
                    tokio::select! {
                        _ = is_cut.wait_for(|cut| *cut) => {}
                        () = passing => {}
                    }
                });
            }
        });
        Self { port, cut }
    }

    /// Breaks all connections, and those to come, for as long as the server needs to miss somebody.
    pub async fn cut_until(&self, missed: impl AsyncFn() -> bool) {
        self.cut.send_replace(true);
        let deadline = Instant::now() + secs(20);
        while !missed().await {
            assert!(Instant::now() < deadline, "the server misses nobody");
            actix::clock::sleep(millis(20)).await;
        }
        self.cut.send_replace(false);
    }
}
