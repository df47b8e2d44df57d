//! What Berth's tests share: a database per test, a world of a real server and hosts, an HTTP client that validates
//! every answer against the hcloud API's description, a browser without script, consoles, proxies that fail on command.

pub mod browser;
pub mod check;
pub mod client;
pub mod clients;
pub mod console;
pub mod control;
pub mod db;
pub mod e2e;
pub mod exec;
pub mod mail;
pub mod name_server;
pub mod node;
pub mod openapi;
pub mod passkey;
pub mod proxy;
pub mod raw_agent;
pub mod raw_host;
pub mod wait;
pub mod world;
