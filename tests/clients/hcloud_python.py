"""What a person does with hcloud-python: create with a key, list, read, reboot, reset the password, delete.

Endpoint and token come from HCLOUD_ENDPOINT and HCLOUD_TOKEN; arguments are a public key, a server type and an image,
and "reverse-dns" where there is a name server for the addresses.
Prints one line of JSON with what was seen. Runs with every version of the library from 1.18 on.
"""

import json
import os
import sys

import hcloud
from hcloud import APIException, Client

# Newer versions have them one level up too, 1.18 only here.
from hcloud.firewalls.domain import FirewallResource, FirewallRule
from hcloud.images.domain import Image
from hcloud.networks.domain import NetworkRoute, NetworkSubnet
from hcloud.server_types.domain import ServerType


def firewalls(client: Client, server) -> None:
    ssh = FirewallRule(direction="in", protocol="tcp", port="22", source_ips=["0.0.0.0/0", "::/0"])
    resource = FirewallResource(type="server", server=server)
    made = client.firewalls.create(name="python", rules=[ssh], resources=[resource])
    for action in made.actions or []:
        action.wait_until_finished()
    firewall = client.firewalls.get_by_name("python")
    assert firewall.rules[0].port == "22", firewall.rules
    assert [r.server.id for r in firewall.applied_to] == [server.id]
    server.reload()
    assert [f.firewall.id for f in server.public_net.firewalls] == [firewall.id]
    for action in firewall.set_rules([]):
        action.wait_until_finished()
    for action in firewall.remove_from_resources([resource]):
        action.wait_until_finished()
    assert firewall.delete()


def primary_ips(client: Client, server) -> None:
    own = server.public_net.primary_ipv4
    made = client.primary_ips.create(type="ipv4", datacenter=server.datacenter, name="python", labels={"a": "b"})
    assert made.action is None, "nothing is to be done for nobody"
    assert own.unassign().wait_until_finished() is None
    made.primary_ip.assign(server.id, "server").wait_until_finished()
    server.reload()
    assert server.public_net.ipv4.ip == made.primary_ip.ip, server.public_net.ipv4.ip
    assert client.primary_ips.get_by_name("python").assignee_id == server.id
    client.primary_ips.get_by_id(made.primary_ip.id).unassign().wait_until_finished()
    assert made.primary_ip.delete()
    own.assign(server.id, "server").wait_until_finished()


def floating_ips(client: Client, server) -> None:
    made = client.floating_ips.create(type="ipv4", description="python", server=server)
    made.action.wait_until_finished()
    floating_ip = client.floating_ips.get_by_id(made.floating_ip.id)
    assert floating_ip.server.id == server.id, floating_ip.server
    server.reload()
    assert [f.id for f in server.public_net.floating_ips] == [floating_ip.id]
    floating_ip.unassign().wait_until_finished()
    floating_ip.assign(server).wait_until_finished()
    floating_ip.unassign().wait_until_finished()
    assert floating_ip.delete()


def names(client: Client, server) -> None:
    ip = server.public_net.ipv4.ip
    server.change_dns_ptr(ip, "server.example.com").wait_until_finished()
    server.reload()
    assert server.public_net.ipv4.dns_ptr == "server.example.com", server.public_net.ipv4.dns_ptr
    primary_ip = client.primary_ips.get_by_id(server.public_net.primary_ipv4.id)
    primary_ip.change_dns_ptr(ip, "primary.example.com").wait_until_finished()
    primary_ip.reload()
    assert primary_ip.dns_ptr == [{"ip": ip, "dns_ptr": "primary.example.com"}], primary_ip.dns_ptr
    server.change_dns_ptr(ip, None).wait_until_finished()
    server.reload()
    assert server.public_net.ipv4.dns_ptr != "primary.example.com"
    made = client.floating_ips.create(type="ipv4", home_location=server.datacenter.location)
    floating_ip = client.floating_ips.get_by_id(made.floating_ip.id)
    floating_ip.change_dns_ptr(floating_ip.ip, "floating.example.com").wait_until_finished()
    floating_ip.reload()
    assert floating_ip.dns_ptr[0]["dns_ptr"] == "floating.example.com", floating_ip.dns_ptr
    try:
        server.change_dns_ptr(floating_ip.ip, "other.example.com")
        raise AssertionError("floating IPs are named themselves")
    except APIException as error:
        assert error.code == "invalid_input", error.code
    assert floating_ip.delete()


def networks(client: Client, server) -> None:
    subnet = NetworkSubnet(type="cloud", network_zone="local", ip_range="10.0.1.0/24")
    network = client.networks.create(name="python", ip_range="10.0.0.0/16", subnets=[subnet])
    assert network.subnets[0].gateway == "10.0.0.1", network.subnets
    server.attach_to_network(network, ip="10.0.1.5").wait_until_finished()
    server.reload()
    assert [(net.network.id, net.ip) for net in server.private_net] == [(network.id, "10.0.1.5")]
    server.change_alias_ips(network, ["10.0.1.6"]).wait_until_finished()
    server.reload()
    assert server.private_net[0].alias_ips == ["10.0.1.6"]
    network = client.networks.get_by_name("python")
    assert [member.id for member in network.servers] == [server.id]
    route = NetworkRoute(destination="10.100.0.0/16", gateway="10.0.1.5")
    network.add_route(route).wait_until_finished()
    network.delete_route(route).wait_until_finished()
    network.change_ip_range("10.0.0.0/12").wait_until_finished()
    try:
        server.attach_to_network(network)
        raise AssertionError("a server is attached once")
    except APIException as error:
        assert error.code == "server_already_attached", error.code
    server.detach_from_network(network).wait_until_finished()
    network.delete_subnet(subnet).wait_until_finished()
    assert network.delete()


def main(public_key: str, server_type: str, image: str, more: str = "") -> None:
    client = Client(token=os.environ["HCLOUD_TOKEN"], api_endpoint=os.environ["HCLOUD_ENDPOINT"], poll_interval=1)
    seen = {"library": hcloud.__file__}

    assert client.server_types.get_by_name(server_type).name == server_type
    assert client.images.get_all(name=image)[0].name == image
    assert client.locations.get_all() and client.datacenters.get_all()

    key = client.ssh_keys.create(name="python", public_key=public_key, labels={"made-by": "python"})
    created = client.servers.create(
        name="python-1",
        server_type=ServerType(name=server_type),
        image=Image(name=image),
        ssh_keys=[key],
        labels={"made-by": "python"},
    )
    assert created.root_password is None, "a server with a key has no password"
    created.action.wait_until_finished()
    for action in created.next_actions:
        action.wait_until_finished()

    found = client.servers.get_all(label_selector="made-by=python")
    assert [server.id for server in found] == [created.server.id], found
    server = client.servers.get_by_id(created.server.id)
    assert server.status == "running", server.status
    assert server.data_model.server_type.name == server_type
    seen["ip"] = server.public_net.ipv4.ip

    server.reboot().wait_until_finished()
    reset = server.reset_password()
    reset.action.wait_until_finished()
    assert reset.root_password, "a reset gives a password"
    console = server.request_console()
    console.action.wait_until_finished()
    assert console.wss_url.startswith("ws://") and "token=" in console.wss_url, console.wss_url
    firewalls(client, server)
    floating_ips(client, server)
    networks(client, server)
    if more == "reverse-dns":
        names(client, server)
    server.power_off().wait_until_finished()
    server.reload()
    assert server.status == "off", server.status
    primary_ips(client, server)
    server.power_on().wait_until_finished()
    server = server.update(name="python-2")
    assert server.name == "python-2"

    try:
        client.ssh_keys.create(name="python", public_key=public_key)
        raise AssertionError("a key can be added once")
    except APIException as error:
        assert error.code == "uniqueness_error", error.code

    server.delete().wait_until_finished()
    key.delete()
    assert client.servers.get_all() == []
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
