import asyncio, sys
from pathlib import Path
from lagotui.app import LagoTuiApp
from lagotui.preferences import Preferences
from tests.tui.fake_engine import *
async def main(out, size, keys, env, theme="dark"):
    e=FakeEngine([an_env(), an_env(CI,"11bb",down=("db01","web01","web02","cache01"))], hold=True)
    e.publish(*a_busy_run())
    app=LagoTuiApp(lambda: e, Preferences(Path("/tmp/h8/none")), env=env, clock=lambda: NOW_S)
    async with app.run_test(size=size) as p:
        app.theme=theme
        for _ in range(6): await p.pause(0.05)
        for i in range(18):
            if env: app.bridge.look_stats(env); await p.pause(0.02)
        for k in keys: await p.press(k); await p.pause(0.1)
        await p.pause(0.2)
        app.save_screenshot(out)
w,h=map(int,sys.argv[2].split('x'))
asyncio.run(main(sys.argv[1],(w,h),sys.argv[4].split() if len(sys.argv)>4 else [], WEB if sys.argv[3]=='env' else '', sys.argv[5] if len(sys.argv)>5 else "dark"))
