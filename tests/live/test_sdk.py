"""A script of the predecessor's users, with nothing but its import changed, on a real machine."""

from __future__ import annotations

import subprocess
import sys

from tests.live.conftest import REPO, VERB_LIMIT_S, Person

INIT_FILE = """
domains:
  vm01:
    memory: 128
    vcpu: 1
    groups: web
    nics:
      - net: lagoon
    disks:
      - template_name: tiny
        type: template
        name: root
        dev: sda
        format: qcow2
nets:
  lagoon:
    type: nat
    dhcp:
      start: 100
      end: 254
"""

SCRIPT = """
import logging
import os

from lagotui import sdk

env = sdk.init(config='el7-init.yaml', workdir='my_test_env', logfile='lago.log', loglevel=logging.DEBUG)
env.start()
vm = env.get_vms()['vm01']
vm.wait_for_ssh()
assert vm.ssh_reachable(tries=3)

res = vm.ssh(['hostname', '-f'])
assert res.code == 0 and not res, res
assert res.out.decode('utf-8').strip() == res.out.strip() == 'vm01.lago.local', res
assert vm.ssh(['cat'], data='through stdin').out == 'through stdin'
if vm.ssh(['exit', '3']).code != 3:
    raise AssertionError('the exit code is lost')

with open('script.sh', 'w') as script:
    script.write('echo from a script; exit 4')
done = vm.ssh_script('script.sh')
assert (done.code, done.out) == (4, 'from a script\\n'), done

os.makedirs('tree/below')
with open('tree/below/file', 'w') as file:
    file.write('content')
vm.copy_to('tree', '/root/tree')
vm.copy_from('/root/tree/below/file', 'back')
assert open('back').read() == 'content'
vm.extract_paths([('/root/nothing', 'nothing'), ('/root/tree', 'again')], ignore_nopath=True)
assert os.path.exists('again/below/file')
try:
    vm.copy_from('/root/nothing', 'nothing')
except sdk.ExtractPathNoPathError as error:
    assert '/root/nothing' in str(error)

ssh = vm.service('ssh')
assert ssh.exists() and ssh.alive() and ssh.state() == sdk.ServiceState.ACTIVE
assert not vm.service('nothing').exists()

with env.ansible_inventory_temp_file(keys=['groups']) as inventory:
    assert '[groups=web]' in open(inventory.name).read()
assert env.get_nets()['lagoon'].resolve('vm01') == vm.ip()
assert os.path.exists(env.get_paths().ssh_id_rsa())

vm.create_snapshot('clean')
vm.ssh(['touch /root/dirt; sync'])
vm.revert_snapshot('clean')
vm.wait_for_ssh()
assert vm.ssh(['test', '-e', '/root/dirt'])

again = sdk.load_env('my_test_env')
assert again.get_vms()['vm01'].running()
again.close()
env.destroy()
assert not os.path.exists('my_test_env')
assert '::INFO::start task: Starting VM vm01' in open('lago.log').read()
print('done')
"""


def test_an_old_script_runs_with_its_import_changed(ordinary: Person) -> None:
    ordinary.write("el7-init.yaml", INIT_FILE)
    script = ordinary.write("script.py", SCRIPT)
    environ = {**ordinary.environ, "PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [*ordinary.switch, sys.executable, str(script)]
    done = subprocess.run(argv, cwd=ordinary.home, env=environ, capture_output=True, text=True, timeout=VERB_LIMIT_S, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert ordinary.wait_gone() == []
