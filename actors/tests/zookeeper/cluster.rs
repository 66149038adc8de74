use containerpilot_actors::event::EventCode;
use containerpilot_actors::messages::CatalogCommand;
use containerpilot_actors::spec::ZooKeeperSpec;
use containerpilot_actors::testing::{secs, watch, zookeeper};
use serde_json::json;

use crate::scene::{Folder, Scene, free_ports};
use crate::server::{LIMIT, Part, Server, service};

#[actix::test]
async fn three_servers_that_lose_their_leader_lose_nothing() {
    let folder = Folder::new("zookeeper-cluster");
    let clients: [u16; 3] = free_ports();
    let (peers, elections): ([u16; 3], [u16; 3]) = (free_ports(), free_ports());
    let members: String = (0..3)
        .map(|n| format!("server.{}=127.0.0.1:{}:{}\n", n + 1, peers[n], elections[n]))
        .chain(["initLimit=50\nsyncLimit=20\n".to_owned()])
        .collect();
    let mut servers: Vec<Server> = (0..3)
        .map(|n| {
            let name = format!("member-{n}");
            let data = folder.path().join(&name);
            std::fs::create_dir_all(&data).expect("the folder is ours");
            std::fs::write(data.join("myid"), format!("{}", n + 1)).expect("the folder is ours");
            Server::start_member(folder.path(), &name, clients[n], &members)
        })
        .collect();
    for server in &servers {
        server.until_serving().await;
    }
    let spec = ZooKeeperSpec { session_timeout: secs(30), ..zookeeper(&clients) };
    let part = Part::of(spec).await;
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let scene = Scene::new(&part.catalog(), &log);
    scene.agent.do_send(CatalogCommand::AdvertiseAlways(service("web")));
    let mut watching = scene.watch(&watch("db"));
    let first = part.until_there(LIMIT, "web/web-host").await;

    let leader = servers.iter_mut().find(|server| server.mode().as_deref() == Some("leader"));
    leader.expect("somebody leads").kill();
    let is_led = |servers: &[Server]| servers.iter().any(|server| server.mode().as_deref() == Some("leader"));
    let deadline = actix::clock::Instant::now() + secs(30);
    while !is_led(&servers) {
        assert!(actix::clock::Instant::now() < deadline, "nobody leads");
        actix::clock::sleep(containerpilot_actors::testing::millis(50)).await;
    }
    assert_eq!(part.node("web/web-host").await, Some(first), "the same node of the same session");
    part.put("db-1", 1, json!([])).await;
    assert_eq!(watching.event(LIMIT).await.code, EventCode::StatusChanged);
}
