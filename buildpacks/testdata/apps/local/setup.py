from setuptools import setup

setup(name="mylib", version="1", packages=["mylib"], install_requires=["itsdangerous"])
