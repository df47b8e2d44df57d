//! The control plane against simulated hosts: a real server, a real Postgres, the real protocol between them.
mod access; // tokens, projects, limits, and that no route was forgotten
mod accounts; // made, confirmed, invited, replaced
mod announcements; // what operators tell, and who sees it
mod api_servers; // repeated, overtaken and odd requests of the tenant API
mod audit; // who changed what, and that nobody changes that
mod backups; // a database from an old backup destroys nothing
mod browser; // the pages in a real browser
mod capacity; // many at once
mod certificates; // what an agent believes, keeps and renews
mod clients; // the stock hcloud CLI and hcloud-python
mod closing; // what is kept about a person, and the end of an account
mod console; // the serial console, from the ticket to the guest
mod dashboard; // the pages: who may see and do what, forms, the event stream
mod encryption; // private networks between hosts
mod errors; // every kind of bad input
mod events; // what happened to guests, from the host's word to the page
mod exec; // programs and files inside a server
mod firewalls; // firewalls: rules, labels, limits
mod fleet; // the agents' channel, word by word
mod floating_ips; // addresses that move between running servers
mod floating_ipv6; // and prefixes that do
mod gateways; // how public addresses reach hosts
mod graphs; // sums of samples, and what reads them
mod guarantees; // what is promised to one is promised to nobody else
mod guard; // the operator's walls: isolation, blocked ports, the month's traffic
mod harness; // the harness itself
mod image_servers; // images from LXC image servers, and what is refused of them
mod interruptions; // connections, servers, agents and databases that go away in the middle
mod ipv6; // prefixes, of which servers get a /64
mod life; // frozen and thawed, and what follows an end
mod lifecycle; // a server from its creation to its end
mod limits; // single limits of a server, and what became of them
mod lists; // pages, order, filters
mod nat_ports; // ports of hosts that lead to servers with private addresses
mod networks; // private networks: ranges, subnets, routes, addresses
mod oidc; // signing in by a provider
mod operators; // the operators' API
mod passkeys; // keys of devices, beside the password and instead of it
mod primary_ips; // addresses that projects hold, and who had them
mod quotas; // what projects may have at most, and many at once
mod replicas; // several servers on one database
mod resize; // another server type for a server that is there
mod reverse_dns; // the names that addresses lead to, with a real name server
mod reverse_ipv6; // and those of addresses inside a prefix
mod scopes; // tokens that may less than all
mod second_factor; // a code beside the password
mod selectors; // the label grammar, by property
mod serving; // hosts that lack what an address needs
mod strangers; // certificates, tokens and reports that must not be believed
mod suspension; // a project that an operator stops, and lets go on
mod traffic;
mod webhooks; // the project's events: list, stream, posts // what passed to and from servers, and what follows from it
