# The command softprompt with everything that it uses.
#
#   docker build -t softprompt .
#   docker run --rm -v "$PWD:/work" softprompt train recipes/e2e-lowdata-prefix.yaml
#
# The working folder is mounted at /work: recipes, data and runs are read and written there. Backbones are kept in
# a volume: -v softprompt-backbones:/home/user/.cache
FROM python:3.12-slim

# METEOR is scored by a program in Java
RUN apt-get update \
    && apt-get install -y --no-install-recommends default-jre-headless \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[all,hub]" && rm -rf /src

# The folder of backbones is there and the user's, so that a new volume over it is the user's too.
RUN useradd --create-home user && install -d -o user -g user /work /home/user/.cache
USER user
WORKDIR /work
ENV SOFTPROMPT_DATA=/work/data
ENTRYPOINT ["softprompt"]
CMD ["--help"]
