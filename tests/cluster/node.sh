#!/usr/bin/env bash
# A cluster of one node: node.sh FOLDER. It lives until its standard input ends, however that comes about, and
# leaves no process, mount, network or control group behind.
#
# Everything runs in namespaces of its own: when the first process of the PID namespace ends, the kernel kills
# the others, and the mounts and the network go with the last one. FOLDER receives the logs, the kubeconfig of an
# administrator, and the process id by which the namespaces can be entered.
set -euo pipefail
folder=$1
tools=$(cd "$(dirname "$0")/../.." && pwd)/target/tools
group=bellwether-cluster-$$
export PATH="$tools/cluster:$tools/leases:$tools/helm4:$PATH"

# Where the control groups of the cluster lie: in each hierarchy of version 1, or in the one of version 2.
groups() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo "/sys/fs/cgroup/$group"
    else
        local hierarchy
        for hierarchy in /sys/fs/cgroup/*/cgroup.procs; do echo "$(dirname "$hierarchy")/$group"; done
    fi
}

remove_groups() {
    local path
    for path in $(groups); do
        [ -d "$path" ] || continue
        # Killed processes leave their groups a moment later.
        for _ in $(seq 50); do
            find "$path" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    done
}

if [ "${2:-}" != inside ]; then
    groups | xargs mkdir -p
    trap remove_groups EXIT
    # A Ctrl-C is for the tests: they end, and with them the standard input.
    trap '' INT TERM HUP
    CLUSTER_GROUP=$group unshare --mount --net --pid --ipc --uts --fork --kill-child --mount-proc \
        "$0" "$folder" inside || true
    exit 0
fi
group=$CLUSTER_GROUP

mkdir -p "$folder/log" "$folder/pid" "$folder/off"
# What runs in the namespaces keeps its files here, and they go with them.
mount -t tmpfs -o mode=0755 tmpfs /run
hostname node

# The kubelet sets parameters of the kernel, which are the host's: it gets files in their place.
for parameter in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    path=/proc/sys/${parameter%=*} file=/run/${parameter##*/}
    echo "${parameter#*=}" >"$file"
    mount --bind "$file" "$path"
done

# The network: one address of the node, and a route so that services can be reached from the node.
node=10.77.0.1
ip link set lo up
ip link add node type veth peer name other
ip address add $node/24 dev node
ip link set node up
ip link set other up
ip route add default dev node
echo 1 >/proc/sys/net/ipv4/ip_forward

# service NAME COMMAND…: runs it, and again when it ends, but not while the file off/NAME exists.
service() {
    local name=$1
    shift
    while true; do
        while [ -e "$folder/off/$name" ]; do sleep 0.1; done
        "$@" >>"$folder/log/$name.log" 2>&1 </dev/null &
        echo $! >"$folder/pid/$name"
        wait $! || sleep 0.2
    done &
}

service etcd etcd --data-dir /run/etcd --unsafe-no-fsync --log-level warn

token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
echo "$token,admin,1,system:masters" >/run/tokens.csv
openssl genrsa -out /run/key 2048 2>/dev/null
service kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --token-auth-file=/run/tokens.csv \
    --advertise-address=$node --bind-address=0.0.0.0 --secure-port=6443 --cert-dir=/run/certificates \
    --service-cluster-ip-range=10.96.0.0/16 --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file=/run/key --service-account-signing-key-file=/run/key \
    --authorization-mode=RBAC --allow-privileged --kubelet-preferred-address-types=InternalIP

while [ ! -s /run/certificates/apiserver.crt ]; do sleep 0.1; done
cat >"$folder/kubeconfig" <<END
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: admin}}]
clusters:
- name: test
  cluster:
    server: https://$node:6443
    certificate-authority-data: $(base64 -w0 /run/certificates/apiserver.crt)
users: [{name: admin, user: {token: $token}}]
END
chmod 0600 "$folder/kubeconfig"

# After an outage of the API server it would not believe the only node to be ready.
service kube-controller-manager kube-controller-manager --kubeconfig="$folder/kubeconfig" --leader-elect=false \
    --node-monitor-grace-period=1h --use-service-account-credentials --service-account-private-key-file=/run/key \
    --root-ca-file=/run/certificates/apiserver.crt
service kube-scheduler kube-scheduler --kubeconfig="$folder/kubeconfig" --leader-elect=false
# The parameters of connection tracking are the host's, too.
service kube-proxy kube-proxy --kubeconfig="$folder/kubeconfig" --hostname-override=node --proxy-mode=iptables \
    --cluster-cidr=10.88.0.0/16 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0

mkdir -p /run/cni/net.d
cat >/run/cni/net.d/10-bridge.conflist <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni/addresses", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "10.88.0.0/16"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
cat >/run/containerd.toml <<END
version = 2
root = "/run/containerd/root"
state = "/run/containerd/state"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
# A container runs them as root, but not with every right.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/run/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
END
service containerd containerd --config /run/containerd.toml

echo "nameserver 127.0.0.1" >/run/resolv.conf
cat >/run/kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$group
failSwapOn: false
enforceNodeAllocatable: []
resolvConf: /run/resolv.conf
podLogsDir: /run/pods
evictionHard: {memory.available: "0%", nodefs.available: "0%", imagefs.available: "0%", nodefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
maxPods: 110
END
while [ ! -S /run/containerd/containerd.sock ]; do sleep 0.1; done
service kubelet kubelet --kubeconfig="$folder/kubeconfig" --config=/run/kubelet.yaml --root-dir=/run/kubelet \
    --hostname-override=node --node-ip=$node --register-node --v=2

service proxy kubectl --kubeconfig="$folder/kubeconfig" proxy --port=8001

touch "$folder/started"
# Until the tests have ended, or were killed.
cat >/dev/null
