#!/bin/sh
# Tunnels, bridges and packet filters of the guest's own network.
ip tuntap add dev tunnel0 mode tun
ip addr add 10.99.0.1/24 dev tunnel0
ip link set tunnel0 up
ip tuntap add dev tap0 mode tap
ip link add bridge0 type bridge
ip link set tap0 master bridge0
ip link del bridge0
ip link del tap0
ip link del tunnel0
iptables -A INPUT -p tcp --dport 9 -j DROP
iptables -D INPUT -p tcp --dport 9 -j DROP
sysctl -q -w net.ipv4.ip_forward=1
