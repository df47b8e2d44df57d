//! Real processes, real guests, real kernel: what simulated hosts cannot show. Needs root and images of Debian.
mod clients; // the stock clients, up to an ssh login with what they printed
mod console; // the serial console, up to a login
mod exec; // programs and files inside a real guest
mod faults; // kill -9 of everything, everywhere
mod gateways; // public addresses over three hosts, and one that moves
mod life;
mod networks; // a guest is a real computer, from create to delete
mod random; // a thousand operations in any order
mod reach; // every kind of address, over hosts
mod restart; // a host comes back without its control plane
mod small; // the agent with a hundred VPSes
mod trouble;
mod walk; // the dashboard: a tenant's life in a browser // full disks, damaged images, dead mirrors
