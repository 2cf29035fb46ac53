"""The commands of the pages that no test here runs, each with the place where it is run, or with the reason why it is not."""

SYSTEM_TEST = "scripts/system_test runs it as printed, in a container, as root"
INSTALLED = "scripts/system_test runs it with the wheels, versions and addresses of its container"
THE_TESTS = "it is what runs these tests"
SETS_UP = "makes an environment from the package registry; followed by hand in a fresh clone"
DOWNLOADS = "downloads wheels from the package registry; scripts/arm_test begins with it"
PACKAGE = "downloads wheels from the package registry; scripts/system_test makes a package of its own and installs it with dpkg"
OWN = "needs something of the reader's: a key, a passphrase, a broker, labelled pictures"
PANEL = "needs an access panel; tests/cli/test_osdp_pair.py runs it without one"
FLEET = "needs the servers of a fleet; tests/fleet runs it with one"
SYSTEM = "a command of the operating system, about a real device"
DOCKER = "needs Docker; scripts/system_test.d/container builds and runs the image with podman"

ELSEWHERE = {
    "docker build -t face-appliance .": DOCKER,
    "docker run --rm -v face-appliance:/data face-appliance keys add first --scope recognise --scope admin": DOCKER,
    "docker run -d --read-only --tmpfs /tmp -v face-appliance:/data -p 9297:9297 face-appliance": DOCKER,
    "scripts/package packages arm64 3.13": PACKAGE,
    "sudo apt install ./packages/face-appliance_0.2.0_arm64_python3.13.deb": PACKAGE,
    "scripts/serve": SETS_UP,
    "python3 -m pip install './scripts/client[discovery]'": SETS_UP,
    "scripts/test": THE_TESTS,
    "scripts/install --download wheels aarch64 3.13": DOWNLOADS,
    "scripts/evaluate verification DATA --report OUT": OWN,
    "sudo scripts/install": INSTALLED,
    "sudo scripts/install --from wheels": INSTALLED,
    "sudo scripts/install --tls": INSTALLED,
    "sudo scripts/install --kiosk": INSTALLED,
    "sudo scripts/install --uninstall": INSTALLED,
    "curl -s -H 'Authorization: Bearer fa_…' http://face-appliance-50d31c.local:9297/version": INSTALLED,
    "sudo systemctl restart face-appliance": SYSTEM_TEST,
    "systemctl status face-appliance": SYSTEM_TEST,
    "sudo systemctl restart face-appliance face-appliance-tls": SYSTEM_TEST,
    "sudo ufw allow 9297/tcp": SYSTEM,
    "sudo ufw allow 9443/tcp": SYSTEM,
    "sudo ufw allow 5353/udp": SYSTEM,
    "sudo systemd-creds encrypt --name=gallery-key /etc/face-appliance/gallery.key "
    "/etc/face-appliance/gallery.cred": SYSTEM_TEST,
    "sudo mkdir -p /etc/systemd/system/face-appliance.service.d": SYSTEM_TEST,
    "printf '[Service]\\nLoadCredentialEncrypted=gallery-key:/etc/face-appliance/gallery.cred\\n' | "
    "sudo tee /etc/systemd/system/face-appliance.service.d/gallery-key.conf": SYSTEM_TEST,
    "sudo systemctl daemon-reload": SYSTEM_TEST,
    "sudo systemd-run -q --pipe --wait -p LoadCredentialEncrypted=gallery-key:/etc/face-appliance/gallery.cred "
    "/usr/local/bin/appliance people list": SYSTEM_TEST,
    "sudo sh -c 'umask 077; echo \"whsec_$(openssl rand -base64 32)\" >/etc/face-appliance/webhook-secret'": SYSTEM_TEST,
    "sudo sh -c 'umask 077; cat >/etc/face-appliance/mqtt-password'": OWN,
    "mosquitto_sub -h broker.example -p 8883 --tls-use-os-certs -u NAME -P PASSWORD -V mqttv5 -v -t 'face-appliance/#'": OWN,
    "sudo appliance people backup people.backup": OWN,
    "sudo systemctl stop face-appliance": SYSTEM_TEST,
    "sudo systemctl start face-appliance": SYSTEM_TEST,
    "sudo sh -c 'umask 077; tar czf backup.tgz --exclude=gallery.key -C / etc/face-appliance "
    "var/lib/face-appliance'": SYSTEM_TEST,
    "git pull": OWN,
    "sudo appliance osdp pair --minutes 5": PANEL,
    "sudo appliance fleet create tls://nats.example:4222": FLEET,
    "sudo appliance fleet invite --minutes 15": FLEET,
    "sudo appliance fleet join 'tls://nats.example:4222#CODE'": FLEET,
    "sudo appliance fleet rotate-key": FLEET,
    "appliance fleet decisions --follow --from 1": FLEET,
    "sudo appliance fleet publish-policy": FLEET,
    "sudo appliance fleet upgrade": FLEET,
    "ls /opt/face-appliance": INSTALLED,
    "sudo ln -sfn VERSION /opt/face-appliance/current": INSTALLED,
}
